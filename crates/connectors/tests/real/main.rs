//! The connectors against real servers, with the faults that happen to those.

mod house;
mod mysql;
mod postgres;
mod rabbitmq;
mod redis;
