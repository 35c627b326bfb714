//! Who is behind the tokens: entities, and the aliases by which auth methods know them.
//!
//! Every login resolves to an entity, made at the first one, so that tokens, leases and trail entries name a principal
//! that outlives a token. Disabling an entity makes every token of it powerless at the next request.

mod called;
mod entity;
mod merge;
mod store;
mod title;
mod view;

pub use called::Called;
pub use entity::{Alias, Entity};
pub use store::{EntityChange, Identity};
pub(crate) use title::Names;
pub use view::EntityView;
