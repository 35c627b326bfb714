//! The table of the native dialect. An endpoint that is not here does not exist.

use super::Native;
use std::future::Future;
use std::pin::Pin;
use strongroom_core::{Captures, CoreError, Endpoint, Fields, Grant, Object, Open, Operation, Reply};

/// A future that a handler returns.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, CoreError>> + Send + 'a>>;

/// What a handler is given: a granted request and the rooms it may call.
pub(crate) struct Context<'a> {
    /// The dialect, for endpoints that speak of the server itself.
    pub(crate) native: &'a Native,
    /// The rooms.
    pub(crate) open: &'a Open,
    /// Proof that the request may proceed.
    pub(crate) grant: &'a Grant,
    /// The named parts of the path.
    pub(crate) captures: &'a Captures,
    /// The parameters: the query of GET and DELETE, the JSON body otherwise.
    pub(crate) fields: &'a Fields,
    /// What is wanted.
    pub(crate) operation: Operation,
}

/// One parameter that an endpoint takes.
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// `string`, `integer`, `boolean`, `array` or `object`.
    pub(crate) kind: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// With which operations it may come; empty for all.
    pub(crate) operations: &'static [Operation],
}

impl Parameter {
    /// Whether it may come with this operation.
    pub(crate) fn is_for(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&operation)
    }
}

/// A parameter of all operations of an endpoint.
pub(crate) const fn parameter(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about, operations: &[] }
}

/// One line of the table.
pub(crate) struct Route {
    /// Path below `/api/v1/`, operations, access, help.
    pub(crate) endpoint: Endpoint,
    /// The path that policies and the trail speak of, with the same named parts: `sys/trail/query`.
    pub(crate) policy: &'static str,
    /// What it takes beside the parts of its path.
    pub(crate) parameters: &'static [Parameter],
    /// What it answers, for the description.
    pub(crate) answer: &'static str,
    /// Parses the named parts of the path into the object that the gate decides on.
    pub(crate) object: fn(&Captures, Operation) -> Result<Object, CoreError>,
    /// Translates the request into a call of the core and its result into an answer.
    pub(crate) handler: for<'a> fn(Context<'a>) -> Answer<'a>,
}

impl AsRef<Endpoint> for Route {
    fn as_ref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Route {
    /// The path of policies that these parts make.
    pub(crate) fn policy_path(&self, captures: &Captures) -> String {
        let pattern = Endpoint { pattern: self.policy, operations: &[], access: self.endpoint.access, help: "" };
        pattern.path(captures)
    }
}

/// The object of endpoints that are their own object.
pub(crate) fn itself(_captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::Path { exists: None })
}

/// All tables, one per noun.
pub(super) const ROUTES: &[&[Route]] = &[
    super::trail::ROUTES,
    super::retention::ROUTES,
    super::event::ROUTES,
    super::revoke::ROUTES,
    super::incident::ROUTES,
    super::drill::ROUTES,
    super::rotation::ROUTES,
    super::alert::ROUTES,
    super::shipping::ROUTES,
    super::shipping_webhook::ROUTES,
];

/// Finds the line for a path below `/api/v1/`.
pub(super) fn find(path: &str) -> Option<(&'static Route, Captures)> {
    ROUTES.iter().find_map(|table| strongroom_core::route(table, path))
}
