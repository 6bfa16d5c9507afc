//! Memory: before there is none left, no new calls are taken (ATTACKS 34).

use std::time::Duration;

use b2bua::io::Input;
use tokio::sync::mpsc;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Calls are taken again below this share of the limit, in hundredths: at the limit itself they would
/// be taken and refused in turns.
const AGAIN_PERCENT: u64 = 95;

/// Tells the core when this process has more than `max` bytes in memory, and when it has less again.
pub(crate) async fn watch(max: u64, inputs: mpsc::Sender<Input>) {
    let mut is_short = false;
    loop {
        let resident = std::fs::read_to_string("/proc/self/status");
        let resident = resident.ok().and_then(|status| resident_bytes(&status));
        let Some(resident) = resident else {
            return tracing::error!("the system does not tell how much memory is used");
        };
        if is_short != is_beyond(resident, max, is_short) {
            is_short = !is_short;
            tracing::warn!(is_short, resident_mib = resident >> 20, "memory");
            if inputs.send(Input::ShortOfMemory(is_short)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_beyond(resident: u64, max: u64, was: bool) -> bool {
    resident > if was { max / 100 * AGAIN_PERCENT } else { max }
}

/// proc(5): `VmRSS:` in kilobytes.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_above_the_limit_until_there_is_some_room() {
        let steps =
            [(900, false), (1001, true), (960, true), (951, true), (950, false), (1000, false)];
        let mut is_short = false;
        for (resident, expected) in steps {
            is_short = is_beyond(resident, 1000, is_short);
            assert_eq!(is_short, expected, "{resident}");
        }
    }

    #[test]
    fn this_process_has_some_memory() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(resident_bytes(&status).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(resident_bytes("VmRSS:\t  12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("VmPeak: 1 kB"), None);
    }
}
