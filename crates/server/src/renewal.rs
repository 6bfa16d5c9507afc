//! SIGHUP: what can change while calls go on is read anew. Certificates are, the files of music and
//! announcements, and how much is logged; every other key waits for the next start. Whatever is wrong with the files leaves all as it was.

use std::path::PathBuf;

use media_net::SoundFiles;
use sip_net::Certificates;

use crate::{config, log};

/// What is read anew, and from where.
pub(crate) struct Renewal {
    /// The configuration.
    pub(crate) file: Option<PathBuf>,
    /// What is logged.
    pub(crate) level: log::Level,
    /// What our TLS connections show.
    pub(crate) certificates: Certificates,
    /// What callers hear.
    pub(crate) sounds: SoundFiles,
}

impl Renewal {
    pub(crate) fn renew(&self) {
        match self.certificates.renew() {
            Ok(count) => tracing::info!(count, "certificates are read anew"),
            Err(error) => tracing::error!(%error, "the old certificate stays"),
        }
        match self.sounds.renew() {
            Ok(()) => tracing::info!("music and announcements are read anew"),
            Err(error) => tracing::error!(%error, "the old sounds stay"),
        }
        let Some(file) = &self.file else { return };
        match config::load(file) {
            Ok(settings) => {
                self.level.follow(&settings.log);
                tracing::info!("the level of the log is read anew; all other keys need a restart");
            }
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "the old configuration stays");
                }
            }
        }
    }
}
