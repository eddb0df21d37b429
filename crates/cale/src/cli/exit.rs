//! Exit codes, defined once.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All went well.
    pub const SUCCESS: Exit = Exit(0);
    /// The command failed.
    pub const FAILURE: Exit = Exit(1);
    /// The engine, not the container's program, failed; also: the command line was not understood.
    pub const ENGINE_FAILED: Exit = Exit(125);
    /// The container's program cannot be executed.
    pub const CANNOT_EXECUTE: Exit = Exit(126);
    /// The container's program was not found.
    pub const NOT_FOUND: Exit = Exit(127);

    /// The exit code of a container's process, as the engine reports it.
    pub fn of_child(code: i64) -> Exit {
        // Exit statuses have eight bits; the kernel cuts the rest off as well.
        Exit((code & 0xff) as u8)
    }

    /// What every code means: for the help and the reference.
    pub const TABLE: &[(&str, &str)] = &[
        ("0", "success"),
        ("1", "the command failed"),
        ("125", "the engine failed, or the command line was not understood"),
        ("126", "the container's program cannot be executed"),
        ("127", "the container's program was not found"),
        ("128+N", "the container's process was ended by signal N"),
        ("other", "the exit code of the container's process"),
    ];
}
