//! The engines through the API, against real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

mod crash;
mod drill;
mod fault;
mod house;
mod login;
mod other;
mod rabbitmq;
mod root;
mod rotation;
mod static_role;
mod way;
