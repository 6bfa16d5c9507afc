//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A contact-centre SIP back-to-back user agent.
#[derive(Debug, Parser)]
#[command(name = "hookflash", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Serve),
    /// Check a configuration file, or ask a running server whether it is well.
    Check(Check),
    /// Show the configuration's keys.
    Config(ConfigCommand),
    /// Place a test call to a running server and tell what was heard.
    Call(Call),
    /// Register as a phone, answer calls and tell what was heard.
    Answer(Answer),
    /// Show calls, legs, phones and trunks of a running server, live.
    Top(Top),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration (TOML); without it, a demo on 127.0.0.1.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where registrations, call records and demo passwords are kept
    /// [default: $XDG_DATA_HOME/hookflash or ~/.local/share/hookflash].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Check {
    /// Configuration to check: every problem is told as FILE:LINE: REASON.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send OPTIONS over UDP to a running server instead; fails unless it answers 200.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) live: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    /// Print a complete configuration with every key explained.
    #[arg(long, required = true)]
    pub(crate) example: bool,
}

/// Who we are and where the server is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Account {
    /// The server (UDP).
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5060")]
    pub(crate) server: SocketAddr,
    /// Extension to speak for [default: one of the demo].
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Its password [default: $HOOKFLASH_PASSWORD, else that of the demo].
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Host part of our address [default: the server's address].
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// Where the demo keeps its passwords.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What is said and kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct Audio {
    /// WAV file to play, any rate, one or two channels [default: a tone].
    #[arg(long, value_name = "FILE")]
    pub(crate) play: Option<PathBuf>,
    /// WAV file to write what is heard to (8 kHz, one channel).
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Frequency of the tone, in Hz.
    #[arg(long, value_name = "HZ", default_value_t = 440.0)]
    pub(crate) tone: f64,
    /// Codec to offer.
    #[arg(long, value_enum, default_value_t = CodecName::Pcma)]
    pub(crate) codec: CodecName,
}

/// A codec of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecName {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// Number to call.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) to: String,
    /// Seconds of talk before we hang up [default: the played file's length, at most 60; else 5].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<f64>,
    /// Seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) ring_timeout: u64,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) audio: Audio,
}

#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Send back what is heard instead of playing.
    #[arg(long, conflicts_with = "play")]
    pub(crate) echo: bool,
    /// Leave after so many calls; 0 = go on.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) calls: u32,
    /// Seconds to ring before answering.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) ring: f64,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) audio: Audio,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Address of the server's API.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = crate::config::API_ADDRESS)]
    pub(crate) api: SocketAddr,
    /// Bearer token [default: $HOOKFLASH_TOKEN, else the admin's of the demo].
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// Print one table and end, for scripts.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the demo keeps its tokens.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn check_wants_one_thing_to_check() {
        for (arguments, accepted) in [
            (&["hookflash", "check"][..], false),
            (&["hookflash", "check", "f"], true),
            (&["hookflash", "check", "--live", "127.0.0.1:5060"], true),
            (&["hookflash", "check", "f", "--live", "127.0.0.1:5060"], false),
            (&["hookflash", "check", "--live", "nowhere"], false),
        ] {
            assert_eq!(Cli::try_parse_from(arguments).is_ok(), accepted, "{arguments:?}");
        }
    }
}
