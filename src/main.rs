//! The `ralphton` program: arguments in, exit code out. Everything else is in the library's `app` room.

use std::process::ExitCode;

// glibc gives big buffers back to the kernel at every free; a training step then spends a tenth of its time clearing pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ralphton::app::main()
}
