//! `set-proc-title`: what `ps` shows, as Redis does it: `redis-sentinel *:26379 [sentinel]`.
//!
//! Redis overwrites its arguments in memory, which takes unsafe code. This starts the program once more in the same process
//! (`exec`), under that name, before there is any thread or open file. So the arguments are still shown behind the title, and
//! what was read from standard input (`-`) could not be read again: then the name stays.
//!
//! References: server.c `expandProcTitleTemplate`, `redisSetProcTitle`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::config::Config;

/// Tells the program that it has its title. Not for the programs that it starts.
pub(crate) const MARK: &str = "SENTINEL_HAS_TITLE";

/// Takes the title, unless there is none to take. Returns when that is so, or cannot be.
pub fn take(config: &Config) {
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    if give(config, &mut command) {
        // Only returns when it fails; then the name stays.
        let error = command.exec();
        eprintln!("the process keeps its name: {error}");
    }
}

/// Lets a new process have the title; false when there is none.
pub(crate) fn give(config: &Config, command: &mut Command) -> bool {
    if !config.proc_title.set || std::env::var_os(MARK).is_some() {
        return false;
    }
    let own = std::env::args().next().unwrap_or_default();
    let title = rendered(config, &own);
    if title.is_empty() || title.contains('\0') {
        return false;
    }
    command.arg0(title).env(MARK, "1");
    true
}

/// The template with what it stands for; `own` is the name under which the program was started. Pure.
fn rendered(config: &Config, own: &str) -> String {
    let first = config.bind.first().map_or("*", |address| address.host.as_str());
    let socket = config.unixsocket.as_ref().map(|path| path.display().to_string());
    let socket = socket.unwrap_or_default();
    let listen = match (config.port, config.tls.port) {
        (0, 0) => socket.clone(),
        (0, port) | (port, _) => format!("{first}:{port}"),
    };
    let replaced = [
        ("{title}", own.to_owned()),
        ("{listen-addr}", listen),
        ("{server-mode}", "[sentinel]".to_owned()),
        ("{port}", config.port.to_string()),
        ("{tls-port}", config.tls.port.to_string()),
        ("{unixsocket}", socket),
        ("{config-file}", config.path.display().to_string()),
    ];
    let template = config.proc_title.template.clone();
    let text = replaced
        .iter()
        .fold(template, |text, (name, value)| text.replace(name, value));
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_in() {
        let mut config = Config::new();
        assert_eq!(
            rendered(&config, "redis-sentinel"),
            "redis-sentinel *:26379 [sentinel]"
        );
        config.proc_title.template = "x {port}{unixsocket} {config-file} ".to_owned();
        config.path = "/etc/s.conf".into();
        assert_eq!(rendered(&config, "redis-sentinel"), "x 26379 /etc/s.conf");
        (config.port, config.tls.port) = (0, 26380);
        config.proc_title.template = "{title} {listen-addr}".to_owned();
        assert_eq!(rendered(&config, "s"), "s *:26380");
    }
}
