//! RFC 3711 appendix B and RFC 7714 §16, §17; the whole packets are those of libsrtp's tests.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn master() -> MasterKey {
    let bytes = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    MasterKey::new(Profile::AesCm128HmacSha1_80, &bytes).unwrap()
}

/// RFC 3711 §B.2, the first and the last blocks of the keystream.
#[test]
fn the_keystream_of_aes_counter_mode() {
    let key = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
    let salt = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
    let mut data = vec![0; 0xff02 * 16];
    AesCm::new(&key, salt, &[0; 20]).keystream(Id { ssrc: 0, index: 0 }, &mut data);
    let first = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab \
                 41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(data[..48], hex(first));
    let last = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae \
                6a2cc3787889374fbeb4c81b17ba6c44";
    assert_eq!(data[0xfeff * 16..], hex(last));
}

/// RFC 3711 §B.3.
#[test]
fn session_keys_are_derived() {
    let master = master();
    let prf = Aes128::new(master.key().into());
    let key = derived::<16>(&prf, &master, RTP.encryption);
    assert_eq!(key.as_slice(), hex("c61e7a93744f39ee10734afe3ff7a087"));
    let salt = derived::<14>(&prf, &master, RTP.salt);
    assert_eq!(salt.as_slice(), hex("30cbbc08863d8c85d49db34a9ae1"));
    // RFC 3711 shows 94 bytes of it.
    let authentication = derived::<94>(&prf, &master, RTP.authentication);
    let shown = "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce \
                 e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25 \
                 6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2";
    assert_eq!(authentication.as_slice(), hex(shown));
}

#[test]
fn whole_packets_under_aes_counter_mode() {
    let suite = Suite::new(Profile::AesCm128HmacSha1_80, &master());
    let id = Id { ssrc: 0xcafe_babe, index: 0x1234 };
    let clear = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let protected =
        hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    let mut packet = [&clear[..], &[0; 10]].concat();
    assert_eq!(suite.seal_rtp(&mut packet, 12, clear.len(), id), 38);
    assert_eq!(packet, protected);
    assert_eq!(suite.open_rtp(&mut packet, 12, id, false), Some(28));
    assert_eq!(packet[..28], clear);

    let id = Id { index: 1, ..id };
    let clear = hex("81c8000bcafebabe abababababababababababababababab");
    let protected =
        hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798");
    let mut packet = [&clear[..], &[0; 14]].concat();
    assert_eq!(suite.seal_rtcp(&mut packet, clear.len(), id), 38);
    assert_eq!(packet, protected);
    assert_eq!(suite.rtcp_word(&packet), Some(ENCRYPTED | 1));
    assert_eq!(suite.open_rtcp(&mut packet, id, false), Some(24));
    assert_eq!(packet[..24], clear);
}

fn gcm() -> Suite {
    let key = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    let cipher = || Cipher::Gcm(Box::new(Gcm::new(&key, salt)));
    Suite { rtp: cipher(), rtcp: cipher(), rtp_tag: 16 }
}

/// RFC 7714 §16.1.1.
#[test]
fn an_rtp_packet_under_gcm() {
    let clear =
        [&hex("8040f17b8041f8d35501a0b2")[..], b"Gallia est omnis divisa in partes tres"].concat();
    let protected = hex("8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bca \
                         be633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce");
    let id = Id { ssrc: 0x5501_a0b2, index: 0xf17b };
    let mut packet = [&clear[..], &[0; 16]].concat();
    assert_eq!(gcm().seal_rtp(&mut packet, 12, clear.len(), id), protected.len());
    assert_eq!(packet, protected);
    assert_eq!(gcm().open_rtp(&mut packet, 12, id, true), Some(clear.len()));
    assert_eq!(packet[..clear.len()], clear);
}

/// RFC 7714 §17.1.
#[test]
fn an_rtcp_packet_under_gcm() {
    let clear = hex("81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61 \
                     deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let protected = hex("81c8000d4d617273 63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32d \
                         c676a5f1730d6fda4ce09b4686303ded0bb9275b c84aa45896cf4d2fc5abf87245d9eade 800005d4");
    let id = Id { ssrc: 0x4d61_7273, index: 0x5d4 };
    let mut packet = [&clear[..], &[0; 20]].concat();
    assert_eq!(gcm().seal_rtcp(&mut packet, clear.len(), id), protected.len());
    assert_eq!(packet, protected);
    assert_eq!(gcm().rtcp_word(&packet), Some(ENCRYPTED | 0x5d4));
    assert_eq!(gcm().open_rtcp(&mut packet, id, true), Some(clear.len()));
    assert_eq!(packet[..clear.len()], clear);
}
