//! Who the user agent is: named on the command line, or an extension of the demo.

use base::Redacted;
use sip::auth::Credentials;

use super::Error;
use crate::cli::Account;
use crate::{config, demo};

/// Environment variable of the password, which keeps it out of the list of processes.
const PASSWORD_ENV: &str = "HOOKFLASH_PASSWORD";

/// Finds the credentials; `not` is the number that is called and so not ours.
pub(super) fn credentials(account: &Account, not: Option<&str>) -> Result<Credentials, Error> {
    let given = account.password.clone().or_else(|| std::env::var(PASSWORD_ENV).ok());
    let (username, password) = match (&account.user, given) {
        (Some(user), Some(password)) => (user.clone(), Redacted::new(password)),
        (None, Some(_)) => return Err(Error::Usage("a password needs a --user".into())),
        (user, None) => demo_extension(account, user.as_deref(), not)?,
    };
    Ok(Credentials { username, password, realm: None })
}

fn demo_extension(
    account: &Account,
    user: Option<&str>,
    not: Option<&str>,
) -> Result<(String, Redacted<String>), Error> {
    let path = demo::file(&demo::data_dir(account.data_dir.as_deref()));
    let hint = "give --user and --password, or start `hookflash serve` without a configuration";
    if !path.exists() {
        return Err(Error::Usage(format!("{} does not exist: {hint}", path.display())));
    }
    let settings = config::load(&path).map_err(|problems| {
        Error::Usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let mut extensions = settings.core.extensions.into_iter().rev();
    let found = match user {
        Some(user) => extensions.find(|extension| extension.number == user),
        None => extensions.find(|extension| Some(extension.number.as_str()) != not),
    };
    let found = found.ok_or_else(|| {
        let who = user.unwrap_or("any");
        Error::Usage(format!("{} has no extension {who}: {hint}", path.display()))
    })?;
    Ok((found.number, found.password))
}
