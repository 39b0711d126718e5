//! What started a QEMU, and how it is told to give it one option more.

use std::path::Path;

/// What started a QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    /// libvirt.
    Libvirt,
    /// Proxmox VE, with the number it has the machine under.
    Proxmox { id: String },
    /// Incus.
    Incus,
    /// Whoever typed the command.
    Plain,
}

impl Manager {
    /// Who manages this process, which is a QEMU or a manager that opened QEMU's socket; `None` if it
    /// cannot be looked at.
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').collect();
        Some(Self::of_command_line(&words))
    }

    fn of_command_line(words: &[&str]) -> Self {
        let program = words.first().copied().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        let mentions = |part: &str| words.iter().any(|word| word.contains(part));
        if ["libvirtd", "virtqemud"].contains(&program) || mentions("/libvirt/qemu/") {
            return Self::Libvirt;
        }
        if mentions("/run/qemu-server/") {
            let id = words.windows(2).find(|pair| pair[0] == "-id");
            return Self::Proxmox {
                id: id.map_or("VMID", |pair| pair[1]).to_owned(),
            };
        }
        if mentions("/incus/") {
            return Self::Incus;
        }
        Self::Plain
    }
}

/// How to give a machine these options at its next start; one line of advice after the other.
pub(super) fn advice(
    manager: Option<&Manager>,
    machine: &str,
    options: &[String; 4],
) -> Vec<String> {
    let line = options.join(" ");
    let plain = format!("start it with: {line}");
    match manager {
        None | Some(Manager::Plain) => vec![plain],
        Some(Manager::Libvirt) => vec![
            format!("virsh edit {machine}, and inside <domain>:"),
            libvirt(options),
            "then shut it down and start it; libvirt's AppArmor or SELinux profile must let QEMU connect there".to_owned(),
        ],
        Some(Manager::Proxmox { id }) => vec![
            format!("qm set {id} --args '{line}'  (with what stands in args: already, if anything)"),
            format!("then qm shutdown {id} and qm start {id}: a reboot from inside keeps the old QEMU"),
        ],
        Some(Manager::Incus) => vec![
            format!("incus config set {machine} raw.qemu='{line}'  (with what it has already, if anything)"),
            format!("then incus restart {machine}; its AppArmor profile must let QEMU connect there (raw.apparmor)"),
        ],
    }
}

fn libvirt(options: &[String; 4]) -> String {
    let mut text = String::from(
        "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n",
    );
    for option in options {
        let value = option
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('\'', "&apos;");
        text.push_str(&format!("    <qemu:arg value='{value}'/>\n"));
    }
    text.push_str("  </qemu:commandline>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, manager: Manager) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(Manager::of_command_line(&words), manager);
    }

    #[test]
    fn managers_are_known_by_their_folders() {
        check(
            "/usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on -object \
             {\"file\":\"/var/lib/libvirt/qemu/domain-1-web/master-key.aes\"}",
            Manager::Libvirt,
        );
        check("/usr/sbin/libvirtd --timeout 120", Manager::Libvirt);
        check(
            "/usr/bin/kvm -id 104 -name db -chardev socket,id=qmp,path=/var/run/qemu-server/104.qmp",
            Manager::Proxmox {
                id: "104".to_owned(),
            },
        );
        check(
            "/usr/bin/qemu-system-x86_64 -S -name c1 -readconfig /run/incus/c1/qemu.conf",
            Manager::Incus,
        );
        check(
            "qemu-system-x86_64 -m 1G -qmp unix:/run/a.sock",
            Manager::Plain,
        );
        check("", Manager::Plain);
    }

    #[test]
    fn advice_is_in_the_words_of_the_manager() {
        let options = [
            "-chardev",
            "socket,id=qwatch,path=/run/q.sock",
            "-mon",
            "chardev=qwatch",
        ]
        .map(str::to_owned);
        let said = |manager: &Manager| advice(Some(manager), "web", &options).join("\n");
        assert!(said(&Manager::Plain).contains("start it with: -chardev socket,"));
        assert!(said(&Manager::Libvirt).contains("virsh edit web"));
        assert!(said(&Manager::Libvirt).contains("<qemu:arg value='-mon'/>"));
        let proxmox = Manager::Proxmox {
            id: "104".to_owned(),
        };
        assert!(said(&proxmox).contains("qm set 104 --args '-chardev"));
        assert!(said(&Manager::Incus).contains("incus config set web raw.qemu='-chardev"));
        assert_eq!(
            advice(None, "web", &options),
            advice(Some(&Manager::Plain), "web", &options)
        );
    }
}
