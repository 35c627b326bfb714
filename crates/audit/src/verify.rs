//! Checks a trail from outside.

/// The one event that may carry an earlier time than the line before it.
pub(crate) const CLOCK_WENT_BACK: &str = "clock_went_back";
