//! Compiles the program of the built-in image `hello` with the compiler at hand: static, so that
//! it runs in an image that holds nothing else.

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=guest/hello.rs");
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let output = PathBuf::from(variable("OUT_DIR")).join("hello");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "hello"])
        .args(["--target", &variable("TARGET")])
        .args(["-C", "opt-level=s", "-C", "lto=fat", "-C", "codegen-units=1"])
        .args(["-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"])
        .arg("-o")
        .arg(&output)
        .arg("guest/hello.rs");
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("compiling guest/hello.rs: {status}"),
        Err(error) => panic!("running rustc: {error}"),
    }
}
