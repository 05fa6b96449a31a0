//! Money: what a call may cost, whether it may be made, and what it came to.
//!
//! Every call is reserved before it is made (its input as estimated, its output up to its own limit) and settled after,
//! one row each, so that a crash between the two is found at the next start. Budgets are checked in the transaction that
//! makes the row; nobody, and no model, can spend beyond them, and who was refused asks no more until a person or the
//! window changes that. What has no known price is refused, never taken as free. Every row keeps what its amount was
//! computed from, so it can be computed again.

mod admission;
mod audit;
mod budgets;
mod costs;
mod drift;
mod error;
mod exports;
mod machine;
mod notices;
mod prices;
mod pricing;

pub use admission::{Admission, Booked, Call, Ledger, Purpose, Refusal, Reservation};
pub use audit::{Audit, Difference, audit};
pub use budgets::{BudgetKey, Budgets, DayZone};
pub use costs::{Axis, CostLine, by_axis, cache_hit_rate, total};
pub use drift::{DriftLine, drift};
pub use error::LedgerError;
pub use exports::read_export;
pub use machine::{Host, Machine, MachineRates};
pub use prices::{Cost, Exact, PriceBook, RATE_HEAD};
pub use pricing::price_line;
