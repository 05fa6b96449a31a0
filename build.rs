//! Tells cargo that the migrations are part of the program: `sqlx::migrate!` embeds them, but cannot watch a folder.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
