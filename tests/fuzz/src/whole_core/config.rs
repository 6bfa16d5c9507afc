//! Configurations of the core, chosen by a number.

use std::time::Duration;

use b2bua::config::{Config, TrunkCredentials};
use base::Redacted;

/// The test configuration with some of what an operator may add.
pub(super) fn config(choice: u16) -> Config {
    let mut config = b2bua::testing::config();
    let has = |bit: u32| choice >> bit & 1 == 1;
    let [carrier, backup] = &mut config.trunks[..] else { return config };
    if has(0) {
        backup.targets = vec!["sip:backup.test".into(), "sip:127.0.0.3:5060;transport=tcp".into()];
    }
    if has(1) {
        carrier.credentials = Some(TrunkCredentials {
            username: "us".into(),
            password: Redacted::new("secret".into()),
            realm: None,
        });
    }
    if has(2) {
        carrier.register = Some(Duration::from_secs(3600));
    }
    if has(3) {
        backup.options_interval = Some(Duration::from_secs(1500));
    }
    if has(4) {
        carrier.codecs = vec!["PCMA".into()];
    }
    if has(5) {
        carrier.calls_max = 2;
    }
    if has(6) {
        config.sip.call_limit = Some(Duration::from_secs(600));
    }
    if has(7) {
        config.media.rtp_timeout = Some(Duration::from_secs(30));
    }
    if has(8) {
        config.registrar.qualify = Some(Duration::from_secs(1500));
    }
    if has(9) {
        // Ports for three legs.
        config.media.port_max = config.media.port_min + 5;
    }
    config.sip.redirects_max = (choice >> 10 & 3) as u8;
    config
}
