//! Money: what a call may cost, whether it may be made, and what it came to.
//!
//! Every call is reserved before it is made (its input as estimated, its output up to its own limit) and settled after,
//! one row each, so that a crash between the two is found at the next start. Budgets are checked in the transaction that
//! makes the row; nobody, and no model, can spend beyond them. What has no known price is refused, never taken as free.

mod admission;
mod budgets;
mod error;
mod prices;
mod report;

pub use admission::{Admission, Booked, Ledger, Refusal, Reservation};
pub use budgets::Budgets;
pub use error::LedgerError;
pub use prices::PriceBook;
pub use report::CostReport;
