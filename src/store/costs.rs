//! What the rows of money add up to, for reports. One query gives the finest cells; whoever shows them adds them up.

use super::column::ms;
use super::{Store, StoreError};
use crate::base::{LoopId, MissionId, NanoUsd, Stage, Timestamp, TurnId};

/// What one agent's calls of one model came to, in one stage of one loop, on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostCell {
    /// The mission, where one ran.
    pub mission_id: Option<MissionId>,
    /// The loop, where one was open.
    pub loop_id: Option<LoopId>,
    /// The loop's number within its mission.
    pub loop_number: Option<u32>,
    /// The calendar day in the budgets' zone.
    pub day: String,
    /// The agent.
    pub agent: String,
    /// Whom it is paid to.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The loop's stage.
    pub stage: Option<Stage>,
    /// Calls, those that still run included.
    pub calls: u32,
    /// Calls whose amount is an estimate.
    pub estimated: u32,
    /// Input tokens that were not cached.
    pub uncached_input: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache.
    pub cache_write: u64,
    /// Output tokens.
    pub output: u64,
    /// Searches and the like.
    pub fees: NanoUsd,
    /// The amount, what is held included.
    pub spent: NanoUsd,
}

/// What one turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnCost {
    /// The turn; its transcript stands in the row of this number.
    pub turn: TurnId,
    /// Whose it was.
    pub agent: String,
    /// The model.
    pub model: String,
    /// Its calls.
    pub calls: u32,
    /// The amount.
    pub spent: NanoUsd,
}

impl Store {
    /// The finest cells of everything spent since a moment, of a mission or of all.
    pub async fn cost_cells(&self, since: Timestamp, mission: Option<MissionId>) -> Result<Vec<CostCell>, StoreError> {
        let rows = sqlx::query_as!(
            CostCell,
            r#"SELECT spend.mission_id AS "mission_id?: MissionId", loop_id AS "loop_id?: LoopId",
                loops.number AS "loop_number?: u32", coalesce(day, '') AS "day!: String", agent AS "agent!",
                provider AS "provider!", model AS "model!", stage AS "stage?: Stage", count(*) AS "calls!: u32",
                sum(estimated) AS "estimated!: u32", sum(uncached_input) AS "uncached_input!: u64",
                sum(cache_read) AS "cache_read!: u64", sum(cache_write_5m + cache_write_1h) AS "cache_write!: u64",
                sum(output) AS "output!: u64", sum(fees) AS "fees!: NanoUsd",
                sum(coalesce(settled, reserved)) AS "spent!: NanoUsd"
            FROM spend LEFT JOIN loops ON loops.id = spend.loop_id
            WHERE spend.created_at >= ?1 AND (?2 IS NULL OR spend.mission_id = ?2)
            GROUP BY spend.mission_id, loop_id, day, agent, provider, model, stage
            ORDER BY min(spend.id)"#,
            ms(since),
            mission
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// The dearest turns since a moment, the dearest first.
    pub async fn dearest_turns(&self, since: Timestamp, limit: u32) -> Result<Vec<TurnCost>, StoreError> {
        let rows = sqlx::query_as!(
            TurnCost,
            r#"SELECT turn_id AS "turn!: TurnId", agent AS "agent!", max(model) AS "model!", count(*) AS "calls!: u32",
                sum(coalesce(settled, reserved)) AS "spent!: NanoUsd"
            FROM spend WHERE turn_id IS NOT NULL AND created_at >= ?
            GROUP BY turn_id, agent HAVING sum(coalesce(settled, reserved)) > 0
            ORDER BY sum(coalesce(settled, reserved)) DESC, turn_id LIMIT ?"#,
            ms(since),
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Bytes of everything that is stored beside the rows.
    pub async fn artifact_bytes(&self) -> Result<u64, StoreError> {
        let bytes = sqlx::query_scalar!(r#"SELECT coalesce(sum(bytes), 0) AS "bytes!: u64" FROM artifacts"#);
        Ok(bytes.fetch_one(&self.reader).await?)
    }
}
