//! The server without a configuration file: 127.0.0.1 only, five demo extensions with random
//! passwords. It is an ordinary file under the data directory, written at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::Rng;
use sip::transport::Transport;

use crate::config::Settings;

/// Name of the demo's configuration below the data directory.
const FILE: &str = "demo.toml";
/// The demo's phones; the last is what `hookflash call` speaks for unless told otherwise.
const NUMBERS: [&str; 5] = ["1001", "1002", "1003", "1004", "1005"];
/// Characters of 5 bits each: 100 bits.
const PASSWORD_LEN: usize = 20;
/// The same for tokens of the API: 160 bits.
const TOKEN_LEN: usize = 32;
/// Name of the token that may do everything.
const ADMIN: &str = "admin";

const HEAD: &str = "\
# Hookflash without a configuration of its own: reachable from this machine only.
# Edit it, or start from `hookflash config --example` and pass --config FILE.

# Callers are shown as sip:1001@127.0.0.1: a phone finds its way back to them.
[server]
realm = \"127.0.0.1\"

[[listen]]
transport = \"udp\"
address = \"127.0.0.1:5060\"

[[listen]]
transport = \"tcp\"
address = \"127.0.0.1:5060\"

[[listen]]
transport = \"ws\"
address = \"127.0.0.1:5080\"

# Few enough ports to leave alone those of phones on this machine.
[media]
port_min = 10000
port_max = 10999

# What somebody asks for by *1 or the API, below this directory.
[recording]
enabled = true
automatic = false

# By default SHA-256 is offered too. The baresip of Debian 12 gives up where it is.
[security]
digest_algorithms = [\"MD5\"]

# What is dialled during a call: *2 and *3 with a number and # transfer and consult.
[feature_codes]
transfer = \"*2\"
consult = \"*3\"
toggle = \"*4\"
conference = \"*5\"
hold = \"*6\"
end_consult = \"*7\"
exit_conference = \"*8\"
record = \"*1\"

[api]
listen = \"127.0.0.1:8080\"
";

/// `--data-dir`, else `$XDG_DATA_HOME/hookflash`, else `~/.local/share/hookflash`.
pub(crate) fn data_dir(given: Option<&Path>) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    let base = absolute("XDG_DATA_HOME").or_else(home).unwrap_or_else(|| PathBuf::from("."));
    base.join("hookflash")
}

/// Where the demo's configuration is.
pub(crate) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Makes a directory that only we may enter.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes the demo's configuration unless it is there; whether it was written now.
pub(crate) fn create(data_dir: &Path, rng: &mut Rng) -> io::Result<bool> {
    make_private_dir(data_dir)?;
    let path = file(data_dir);
    // Written aside and renamed, so that a crash leaves no half file; 0600 from the first byte.
    let part = data_dir.join(format!("{FILE}.part"));
    if path.exists() {
        return Ok(false);
    }
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    out.write_all(text(rng).as_bytes())?;
    out.sync_all()?;
    fs::rename(&part, &path)?;
    Ok(true)
}

fn text(rng: &mut Rng) -> String {
    let mut text = HEAD.to_owned();
    let mut token = |name: &str, role: &str, more: &str| {
        let token = rng.token(TOKEN_LEN);
        text += &format!(
            "\n[[api.token]]\nname = \"{name}\"\nrole = \"{role}\"\n{more}token = \"{token}\"\n"
        );
    };
    token(ADMIN, "admin", "");
    for number in NUMBERS {
        token(&format!("agent-{number}"), "agent", &format!("extension = \"{number}\"\n"));
    }
    for number in NUMBERS {
        let password = rng.token(PASSWORD_LEN);
        text += &format!("\n[[extension]]\nnumber = \"{number}\"\npassword = \"{password}\"\n");
    }
    text
}

/// What to type into a phone, told once: it shows the passwords.
pub(crate) fn welcome(settings: &Settings, path: &Path) -> String {
    let config = &settings.core;
    let udp = config.listen.iter().find(|listen| listen.transport == Transport::Udp);
    let server = udp.or(config.listen.first()).map(|listen| listen.address.to_string());
    let server = server.unwrap_or_default();
    let mut text = format!(
        "Hookflash runs for the first time and made {} extensions (kept in {}).\n\n\
         baresip: one of these lines in ~/.baresip/accounts, then dial 1002:\n",
        config.extensions.len(),
        path.display()
    );
    for extension in &config.extensions {
        let (number, password) = (&extension.number, extension.password.reveal());
        text += &format!("  <sip:{number}@{server}>;auth_user={number};auth_pass={password}\n");
    }
    text += &format!(
        "Linphone and others: user name 1001, password as above, domain {server}, transport UDP.\n\n\
         No phone? In two terminals:\n  \
         hookflash answer --user 1001\n  \
         hookflash call --to 1001\n"
    );
    if let (Some(api), Some(token)) = (&settings.api, admin_token(settings)) {
        text += &format!(
            "\nCalls as the API sees them (tokens of each agent are in the same file), and live:\n  \
             curl -H 'Authorization: Bearer {token}' http://{}/v1/interactions\n  \
             hookflash top\n",
            api.address
        );
    }
    text
}

/// The token that may do everything.
pub(crate) fn admin_token(settings: &Settings) -> Option<&str> {
    let tokens = settings.api.iter().flat_map(|api| &api.tokens);
    let mut admins = tokens.filter(|token| token.role == api::Role::Admin);
    admins.next().map(|token| token.token.reveal().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("hookflash-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn the_demo_is_a_valid_configuration_of_the_loopback_only() {
        let settings = crate::config::read("demo", &text(&mut Rng::from_u64(1)), Path::new("."));
        let settings = settings.unwrap();
        let api = settings.api.as_ref().unwrap();
        assert!(api.address.ip().is_loopback());
        let tokens: std::collections::BTreeSet<_> =
            api.tokens.iter().map(|token| token.token.reveal().clone()).collect();
        assert_eq!(tokens.len(), 1 + NUMBERS.len());
        let core = settings.core;
        assert!(core.listen.iter().all(|listen| listen.address.ip().is_loopback()));
        assert_eq!(core.extensions.len(), NUMBERS.len());
        assert!(core.trunks.is_empty());
        assert_eq!(core.feature_codes, b2bua::config::FeatureCodes::usual());
        let passwords: std::collections::BTreeSet<_> =
            core.extensions.iter().map(|e| e.password.reveal().clone()).collect();
        assert_eq!(passwords.len(), NUMBERS.len());
    }

    #[test]
    fn passwords_are_made_once_and_are_ours_only() {
        let directory = scratch("demo");
        assert!(create(&directory, &mut Rng::from_u64(1)).unwrap());
        let first = fs::read_to_string(file(&directory)).unwrap();
        assert!(!create(&directory, &mut Rng::from_u64(2)).unwrap());
        assert_eq!(fs::read_to_string(file(&directory)).unwrap(), first);
        let mode = fs::metadata(file(&directory)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_welcome_shows_each_phone_its_line() {
        let settings = crate::config::read("demo", &text(&mut Rng::from_u64(1)), Path::new("."));
        let settings = settings.unwrap();
        let text = welcome(&settings, Path::new("/d/demo.toml"));
        let core = &settings.core;
        let token = admin_token(&settings).unwrap();
        assert!(text.contains(&format!("Bearer {token}' http://127.0.0.1:8080/v1/interactions")));
        for extension in &core.extensions {
            assert!(text.contains(&format!("auth_pass={}", extension.password.reveal())));
        }
        assert!(text.contains("<sip:1001@127.0.0.1:5060>"));
    }
}
