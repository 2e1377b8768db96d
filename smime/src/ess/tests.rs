//! The types at their edges, the rules for receipts, and openssl as the other side.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use super::*;

mod labels;
mod openssl;
mod receipts;
mod support;
