//! Copies in other regions and accounts: there are none, because a server is one place.

use super::describe::sighted;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use strongroom_core::Reply;

/// What is told to who asks for one.
pub(super) const NONE: &str = "This server keeps no copies in other regions or accounts: every region that it serves \
                               reads the secrets of its own mount. Leave the regions out.";

/// The operations on copies.
pub(super) async fn refuse(call: Call<'_>) -> Result<Reply, Refusal> {
    sighted(&call).await?;
    Err(Refusal::request(NONE))
}
