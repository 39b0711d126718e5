//! The `qwatch` program; everything is in the library.

fn main() -> std::process::ExitCode {
    qwatch::cli::main()
}
