//! `sentinel.conf`, with the files that it includes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentinel_fuzz::within;
use sentinel_node::config::{Includes, NoIncludes, parse};

/// The input cut at NUL: the first text is the file, `include 1` is the second, and so on.
/// A hundred files are enough: `include` has a limit for depth, and an administrator writes the rest.
struct Texts<'d> {
    texts: Vec<&'d str>,
    left: usize,
}

impl Includes for Texts<'_> {
    fn read(&mut self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        self.left = self.left.checked_sub(1).ok_or("enough")?;
        let text = pattern
            .parse()
            .ok()
            .and_then(|index: usize| self.texts.get(index));
        let text = text.ok_or("no such file")?;
        Ok(vec![(pattern.to_owned(), (*text).to_owned())])
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut texts = Texts {
        texts: text.split('\0').collect(),
        left: 100,
    };
    let main = texts.texts.first().copied().unwrap_or_default();
    let parsed = within(20_000 * data.len() + 8_192, || parse("main", main, &mut texts));
    match parsed {
        Ok(config) => {
            drop(format!(
                "{config:?}{:?}{}",
                config.admin_port(),
                config.data_dir().display()
            ));
            // What a node remembers of the file says the same as the file.
            let lines = config.seed_lines();
            let again = parse("seed", &lines, &mut NoIncludes).expect("own lines can be read");
            assert_eq!(again.seed_lines(), lines);
            assert_eq!(again.masters.len(), config.masters.len());
            for (again, master) in again.masters.iter().zip(&config.masters) {
                assert_eq!((&again.name, &again.address), (&master.name, &master.address));
                // `Debug` hides passwords, equality does not.
                assert!(
                    again.options == master.options && again.given == master.given,
                    "{lines}"
                );
                assert_eq!(again.learned.replicas, master.learned.replicas);
                assert_eq!(again.learned.sentinels, master.learned.sentinels);
                assert_eq!(again.learned.config_epoch, master.learned.config_epoch);
            }
        }
        Err(error) => {
            assert!(error.line >= 1 && !error.reason.is_empty());
            drop(error.to_string());
        }
    }
});
