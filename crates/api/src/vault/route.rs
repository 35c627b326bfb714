use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use strongroom_core::ceremony::ShareOrder;
use strongroom_core::snapshot::RestoreOrder;
use strongroom_core::{Captures, CoreError, Endpoint, Fields, Grant, Object, Open, Operation, Reply, SealOrder};

/// A future that a handler returns.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, CoreError>> + Send + 'a>>;

/// What a handler is given: a granted request and the rooms it may call.
pub(crate) struct Context<'a> {
    /// The dialect, for endpoints that speak of the server itself.
    pub(crate) vault: &'a super::Vault,
    /// The rooms.
    pub(crate) open: &'a Open,
    /// Proof that the request may proceed.
    pub(crate) grant: &'a Grant,
    /// The named parts of the path.
    pub(crate) captures: &'a Captures,
    /// The parameters: JSON body, and the query of GET and DELETE.
    pub(crate) fields: &'a Fields,
    /// What is wanted.
    pub(crate) operation: Operation,
    /// What is to be done when the request has been recorded.
    pub(crate) after: &'a After,
    /// The body, where the endpoint reads it itself.
    pub(crate) upload: &'a Upload,
}

/// A body that nobody has read yet; there is one at few endpoints only.
#[derive(Default)]
pub(crate) struct Upload(Mutex<Option<Incoming>>);

impl Upload {
    /// This body.
    pub(crate) fn of(body: Incoming) -> Self {
        Self(Mutex::new(Some(body)))
    }

    /// The body, once.
    pub(crate) fn take(&self) -> Option<Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What an endpoint puts off until its own request has been recorded: sealing takes away the keys that recording needs,
/// and new unseal keys must not be in force if nobody gets to see them.
#[derive(Default)]
pub(crate) struct After(Mutex<Option<Order>>);

/// Something to be done when the request has been recorded.
pub(crate) enum Order {
    /// Seal.
    Seal(SealOrder),
    /// Put new unseal keys in force.
    Shares(ShareOrder),
    /// Replace the store by a snapshot.
    Restore(Box<RestoreOrder>),
}

impl After {
    /// Seals when the request has been recorded.
    pub(crate) fn order_seal(&self, order: SealOrder) {
        self.order(Order::Seal(order));
    }

    /// Puts new unseal keys in force when the request has been recorded.
    pub(crate) fn order_shares(&self, order: ShareOrder) {
        self.order(Order::Shares(order));
    }

    /// Replaces the store when the request has been recorded.
    pub(crate) fn order_restore(&self, order: RestoreOrder) {
        self.order(Order::Restore(Box::new(order)));
    }

    fn order(&self, order: Order) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
    }

    pub(crate) fn into_order(self) -> Option<Order> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of a route table of this dialect: an endpoint, what it acts on, and who serves it.
pub(crate) struct Route {
    /// Path, operations, access, help.
    pub(crate) endpoint: Endpoint,
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

/// The object of endpoints that are their own object.
pub(crate) fn itself(_captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::Path { exists: None })
}
