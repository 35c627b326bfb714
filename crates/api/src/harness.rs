//! Parsers that a stranger reaches, by themselves, for fuzz targets: the same code that the doors run, without sockets.
//!
//! Decides nothing and serves nothing; no door calls it.

use crate::body::{self, Budget};
use crate::vault;
use strongroom_core::{CoreError, Fields};
use strongroom_model::{PathError, RequestPath};

/// Reads the path of a request as it is sent, without `/v1/`.
pub fn decode_path(raw: &str) -> Result<RequestPath, PathError> {
    vault::decode_path(raw)
}

/// Reads a JSON body as doors do that have the usual memory for bodies.
pub fn parse_body(bytes: &[u8]) -> Result<Fields, CoreError> {
    body::parse_object(bytes, &Budget::new(64 * 1024 * 1024))
}

/// Reads a query, or a body that is a form.
pub fn parse_query(text: &str) -> Result<Fields, CoreError> {
    body::pairs(text)
}
