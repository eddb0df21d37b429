//! Running other programs and looking at what they said.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// The workspace's root directory.
pub fn workspace() -> PathBuf {
    let crate_dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).to_owned()
}

/// The `cale` binary under test: `$CALE_BIN`, else the newest of the dev and release builds.
///
/// # Panics
/// If nothing was built: `cargo xtask test` builds the binary before it runs the tests.
pub fn cale() -> PathBuf {
    if let Some(path) = std::env::var_os("CALE_BIN") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let built = ["debug", "release"].map(|profile| target.join(profile).join("cale"));
    built
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .expect("no cale binary: run `cargo build` first")
}

/// What a program printed and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// Exit code; 128 + signal when killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output of a success.
    ///
    /// # Panics
    /// If the program failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "failed\nstdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// Standard error of a failure with this code.
    ///
    /// # Panics
    /// If it ended otherwise.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "wrong code\nstdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Self {
            code: status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it can't be started.
#[track_caller]
pub fn run(command: &mut Command) -> Said {
    match command.output() {
        Ok(output) => output.into(),
        Err(error) => panic!("cannot run {command:?}: {error}"),
    }
}

/// Runs a command to its end with `input` on standard input.
///
/// # Panics
/// If it can't be started or fed.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Said {
    use std::{io::Write, process::Stdio};
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // The program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("a started child can be waited for");
    feeder.join().expect("the feeder does not panic");
    output.into()
}
