//! seccomp: system calls that no PKCS#11 module has any business with fail with EPERM.
//!
//! A list of what is forbidden, not of what is allowed: modules are foreign, and what they allocate, map and wait by differs from
//! one to the next.

use std::collections::BTreeMap;

use rustix::process::getpid;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword,
    SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

/// Which sockets a module may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    None,
    /// AF_UNIX
    Local,
    /// the Internet's too
    Network,
}

/// Looking into, acting on, or talking to other processes; other file systems, namespaces, kernels; starting programs.
const FORBIDDEN: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_setrlimit,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_vhangup,
];

/// Of one architecture only.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// The same calls have a second set of numbers there (x32), some of them other ones.
#[cfg(target_arch = "x86_64")]
const SECOND_SET: Option<(i64, std::ops::RangeInclusive<i64>)> = Some((0x4000_0000, 512..=547));
#[cfg(not(target_arch = "x86_64"))]
const SECOND_SET: Option<(i64, std::ops::RangeInclusive<i64>)> = None;

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// To be debugged, dumped, or to outlive the daemon.
const PRCTL: [i32; 3] = [
    libc::PR_SET_DUMPABLE,
    libc::PR_SET_PTRACER,
    libc::PR_SET_PDEATHSIG,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Result<T> = std::result::Result<T, BackendError>;

/// Applies to this thread and all that it starts.
pub(super) fn filter(sockets: Sockets) -> std::result::Result<(), seccompiler::Error> {
    // its arguments cannot be looked at; C libraries then use clone
    let not_there = Rules::from([(libc::SYS_clone3, Vec::new())]);
    apply(not_there, libc::ENOSYS)?;
    apply(rules(sockets)?, libc::EPERM)
}

fn apply(rules: Rules, errno: i32) -> std::result::Result<(), seccompiler::Error> {
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}

fn rules(sockets: Sockets) -> Result<Rules> {
    let forbidden = FORBIDDEN.iter().chain(FORBIDDEN_HERE);
    let mut rules: Rules = forbidden.map(|call| (*call, Vec::new())).collect();
    // a process of its own would outlive this one; a thread does not
    let mut clone = vec![rule(&[(
        0,
        SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64),
        0,
    )])?];
    for kind in NAMESPACES {
        let kind = kind as u64;
        clone.push(rule(&[(0, SeccompCmpOp::MaskedEq(kind), kind)])?);
    }
    rules.insert(libc::SYS_clone, clone);
    let own = u64::from(getpid().as_raw_pid().unsigned_abs());
    for call in [
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
    ] {
        rules.insert(call, vec![rule(&[(0, SeccompCmpOp::Ne, own)])?]);
    }
    let prctl = PRCTL.map(|option| rule(&[(0, SeccompCmpOp::Eq, option as u64)]));
    rules.insert(libc::SYS_prctl, prctl.into_iter().collect::<Result<_>>()?);
    // to ask for a limit is fine
    let sets = SeccompCondition::new(2, Qword, SeccompCmpOp::Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![sets])?]);
    // typing at somebody's terminal
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|kind| rule(&[(1, SeccompCmpOp::Eq, kind)]));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_>>()?);
    rules.extend(for_sockets(sockets)?);
    if let Some((other, others)) = SECOND_SET {
        let same: Vec<_> = rules
            .iter()
            .map(|(call, rules)| (call | other, rules.clone()))
            .collect();
        rules.extend(same);
        rules.extend(others.map(|call| (call | other, Vec::new())));
    }
    Ok(rules)
}

fn for_sockets(sockets: Sockets) -> Result<Rules> {
    let serve = [libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4];
    let mut rules: Rules = serve.map(|call| (call, Vec::new())).into();
    let kinds: &[i32] = match sockets {
        Sockets::None => {
            for call in [libc::SYS_socket, libc::SYS_connect, libc::SYS_bind] {
                rules.insert(call, Vec::new());
            }
            // a pair of streams reaches nobody; of the others each end can send to any name
            let others = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET];
            let others = others.map(|kind| rule(&[(1, SeccompCmpOp::MaskedEq(0xf), kind as u64)]));
            rules.insert(
                libc::SYS_socketpair,
                others.into_iter().collect::<Result<_>>()?,
            );
            return Ok(rules);
        }
        Sockets::Local => {
            rules.insert(libc::SYS_bind, Vec::new());
            &[libc::AF_UNIX]
        }
        Sockets::Network => &[
            libc::AF_UNIX,
            libc::AF_INET,
            libc::AF_INET6,
            libc::AF_NETLINK,
        ],
    };
    let none_of: Vec<_> = kinds
        .iter()
        .map(|kind| (0, SeccompCmpOp::Ne, *kind as u64))
        .collect();
    rules.insert(libc::SYS_socket, vec![rule(&none_of)?]);
    Ok(rules)
}

/// All of these: which argument, compared how, with what.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule> {
    let conditions = conditions
        .iter()
        .map(|(argument, how, value)| SeccompCondition::new(*argument, Dword, how.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_>>()?)
}
