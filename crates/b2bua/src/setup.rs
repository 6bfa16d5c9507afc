//! From the operator's configuration to that of each machine.

use base::Rng;
use sip::auth::{Authenticator, Credentials, Guard, GuardConfig};
use sip::message::Host;
use sip::registrar::RegistrarConfig;
use sip::transaction::{Config as TransactionConfig, Family, SentBy, Transactions};

use crate::config::{Config, TrunkCredentials};
use crate::party;

pub(crate) fn transactions(config: &Config, rng: &mut Rng) -> Transactions {
    let mut sent_by = SentBy::new(party::host(&config.realm), None);
    // The first listener of a transport and family names it, as in `wire::contact`.
    for listen in config.listen.iter().rev() {
        let (host, port) = listen.advertised();
        let family = Family::from(listen.address.ip());
        sent_by = sent_by.with(listen.transport, family, party::host(&host), Some(port));
    }
    let timers = TransactionConfig { t1: config.sip.t1, ..TransactionConfig::default() };
    Transactions::new(timers, sent_by, rng)
}

pub(crate) fn authenticator(config: &Config, rng: &mut Rng) -> Authenticator {
    Authenticator::new(&config.realm, config.security.nonce_lifetime, rng)
        .with_hosts(hosts(config))
        .with_algorithms(&config.security.digest_algorithms)
}

/// The names and addresses that are ours.
fn hosts(config: &Config) -> Vec<Host> {
    let mut hosts: Vec<_> = config.domains.iter().map(|domain| party::host(domain)).collect();
    hosts.push(party::host(&config.realm));
    hosts.extend(config.listen.iter().map(|listen| party::host(&listen.advertised().0)));
    hosts
}

pub(crate) fn registrar(config: &Config) -> RegistrarConfig {
    RegistrarConfig {
        expires_min: config.registrar.expires_min,
        expires_max: config.registrar.expires_max,
        expires_default: config.registrar.expires_default,
        contacts_max: config.registrar.contacts_max,
        qualify: config.registrar.qualify,
        hosts: hosts(config),
    }
}

pub(crate) fn guard(config: &Config) -> Guard {
    Guard::new(GuardConfig {
        guesses_max: config.security.guesses_max,
        ban: config.security.ban,
        ..GuardConfig::default()
    })
}

impl From<&TrunkCredentials> for Credentials {
    fn from(credentials: &TrunkCredentials) -> Self {
        Self {
            username: credentials.username.clone(),
            password: credentials.password.clone(),
            realm: credentials.realm.clone(),
        }
    }
}
