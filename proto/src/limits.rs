//! Limits that a client can meet on the bus. Each has a test at it and one past it.

/// Message data in one `…Bytes` call, bytes; larger messages travel by descriptor.
pub const BYTES_CALL: usize = 1 << 20;
/// Jobs of one connection that are not done.
pub const JOBS_PER_CONNECTION: usize = 8;
/// Jobs of all connections that are not done.
pub const JOBS: usize = 64;
/// Length of a PIN, bytes.
pub const PIN_MAX: usize = 255;
/// Time for a PIN to arrive on its descriptor, seconds.
pub const PIN_DEADLINE: u64 = 5;
/// Time for a person to answer an agent's or the daemon's prompt, seconds.
pub const PROMPT_DEADLINE: u64 = 120;
/// No byte moved on a client's descriptor for this long ends the job, seconds.
pub const PROGRESS_DEADLINE: u64 = 60;
/// Results of a finished job are kept this long, seconds.
pub const RESULTS_KEPT: u64 = 60;
/// Finished jobs of one connection whose results are kept; the oldest go first.
pub const RESULTS_PER_CONNECTION: usize = 256;
/// Recipients of one call (RecipientInfos of one message).
pub const RECIPIENTS: usize = 4096;
/// Length of an option's or argument's text, bytes.
pub const TEXT: usize = 4096;
/// A certificate, anchor, or CRL file passed by descriptor, bytes.
pub const FILE: usize = 16 << 20;
/// Longest wait of one `Job.Wait` call, milliseconds.
pub const WAIT_MAX: u32 = 600_000;
