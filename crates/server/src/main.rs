//! `hookflash`: the server, and the tools to check it and to try it.

mod cli;
mod config;
mod demo;
mod dtls;
mod limits;
mod log;
mod memory;
#[cfg(debug_assertions)]
mod poison;
mod renewal;
mod rim;
mod serve;
mod top;
mod ua;
mod web;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something went wrong while running.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong (clap's own code for it).
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        cli::Command::Serve(arguments) => serve(&arguments),
        cli::Command::Check(arguments) => check(&arguments),
        cli::Command::Config(_) => {
            tell(config::EXAMPLE.trim_end());
            ExitCode::SUCCESS
        }
        cli::Command::Call(arguments) => verdict(ua::call(&arguments, stop_on_signals())),
        cli::Command::Top(arguments) => match top::top(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(error, FAILED),
        },
        cli::Command::Answer(arguments) => verdict(ua::answer(&arguments, stop_on_signals())),
    }
}

fn serve(arguments: &cli::Serve) -> ExitCode {
    match serve::serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(serve::ServeError::Config(problems)) => refuse(&problems),
        Err(serve::ServeError::Failed(reason)) => complain(reason, FAILED),
    }
}

fn check(arguments: &cli::Check) -> ExitCode {
    if let Some(server) = arguments.live {
        return match ua::ping(server) {
            Ok((200, took)) => {
                tell(format_args!("{server} is well ({:.1} ms)", took.as_secs_f64() * 1000.0));
                ExitCode::SUCCESS
            }
            Ok((status, _)) => complain(format_args!("{server} answers {status}"), FAILED),
            Err(error) => complain(error, FAILED),
        };
    }
    let Some(file) = &arguments.file else { return ExitCode::from(USAGE) };
    match config::load(file) {
        Ok(settings) => {
            let core = &settings.core;
            tell(format_args!(
                "{}: good: {} listeners, {} extensions, {} trunks, {} routes, {} entry points",
                file.display(),
                core.listen.len(),
                core.extensions.len(),
                core.trunks.len(),
                core.routes.len(),
                core.entry_points.len()
            ));
            ExitCode::SUCCESS
        }
        Err(problems) => refuse(&problems),
    }
}

/// Tells every problem of a configuration.
fn refuse(problems: &[config::Problem]) -> ExitCode {
    for problem in problems {
        complain(problem, USAGE);
    }
    ExitCode::from(USAGE)
}

fn verdict(result: Result<bool, ua::Error>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error @ ua::Error::Usage(_)) => complain(error, USAGE),
        Err(error @ ua::Error::Failed(_)) => complain(error, FAILED),
    }
}

/// One line for the user. A closed pipe ends nothing: the work goes on.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn complain(text: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{text}");
    ExitCode::from(code)
}

/// Unpredictable bytes from the operating system, behind every tag, nonce and password.
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// A flag that the first SIGINT or SIGTERM sets, so that a call is hung up and reported.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            flag.store(true, Ordering::Relaxed);
        });
    };
    // Without the thread a signal ends the process at once, as it would without us.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
    stop
}
