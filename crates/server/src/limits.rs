//! The process's own limits: a call holds up to eight sockets, so the descriptors that the system
//! allows at most are asked for at the start.

use std::io;

/// Raises the soft limit of open descriptors to the hard one: what it is now.
#[allow(unsafe_code)]
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit` of ours, which the call fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live `rlimit` of ours, which the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_rises_to_the_hard_one_and_stays() {
        let raised = raise_descriptors().unwrap();
        assert!(raised >= 256);
        assert_eq!(raise_descriptors().unwrap(), raised);
    }
}
