//! Candle's own threads are switched off: training runs one graph per thread, and inference one batch per thread.

use super::PolicyError;

/// Makes candle and gemm run each operation on the thread that calls it.
///
/// Call it first thing in `main`, before any thread is started and before anything else of this crate runs. Without
/// it candle reads `/proc/cpuinfo` at every product and spins threads against each other at every larger sum.
///
/// # Errors
/// When other threads run already (the environment may then not be changed), or when their number cannot be told.
pub fn set_thread_environment() -> Result<(), PolicyError> {
    const HINT: &str = "set RAYON_NUM_THREADS=1 and CANDLE_NUM_THREADS=1 in the environment instead";
    let threads = std::fs::read_dir("/proc/self/task")
        .map(|tasks| tasks.count())
        .map_err(|error| PolicyError::Threads(format!("running threads cannot be counted ({error}); {HINT}")))?;
    if threads != 1 {
        return Err(PolicyError::Threads(format!("{threads} threads run already; {HINT}")));
    }
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: the environment may be changed while no other thread can read it; this is the only thread, as
        // just counted, and it starts none in between.
        #[expect(unsafe_code, reason = "set_var is unsafe since edition 2024")]
        unsafe {
            std::env::set_var(name, "1");
        }
    }
    Ok(())
}
