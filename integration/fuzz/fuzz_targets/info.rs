//! What a data node says as text: INFO, and the payload of `__sentinel__:hello`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentinel_fuzz::within;
use sentinel_proto::hello::Hello;
use sentinel_proto::info::InstanceReport;

fuzz_target!(|data: &[u8]| {
    // A replica's line is at least `slave0:h,1`, and is kept twice.
    let report = within(100 * data.len() + 4_096, || InstanceReport::parse(data));
    assert!(report.replicas.len() <= 10_000);
    assert_eq!(report.replicas.len(), report.attached.len());
    for attached in &report.attached {
        assert!(!attached.address.host.is_empty() && attached.address.port != 0);
    }
    drop((report.priority(), report.master(), report.offset()));

    // Each line stands for itself: blank lines and other line ends say nothing.
    let mut spaced = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        spaced.extend_from_slice(line);
        spaced.extend_from_slice(b"\r\n\n");
    }
    assert_eq!(InstanceReport::parse(&spaced), report);

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(hello) = text.parse::<Hello>() {
        assert_eq!(hello.to_string().parse::<Hello>(), Ok(hello));
    }
});
