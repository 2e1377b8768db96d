//! The calls that the `cryptoki` crate cannot make, or makes in a way that does not do here. The only file with `unsafe`.
//!
//! - C_Initialize(NULL): cryptoki always passes arguments. pReserved as text.
//! - C_Sign and C_Decrypt *alone*: cryptoki begins with an Init of its own, which undoes a context-specific login, and calls
//!   twice (once for the length).
//! - C_GetAttributeValue into memory that is wiped, for derived secrets.
//! - C_SetPIN and C_InitPIN with PINs that are bytes: cryptoki's are text.
//!
//! Memory that is not swapped out, for PINs that are kept.
//!
//! And PC/SC, for what PKCS#11 cannot do: name readers without touching their cards, and reset a card. And three calls to the
//! kernel: unshare, mount_setattr, mlock.

#![allow(
    unsafe_code,
    reason = "PKCS#11, PC/SC and the kernel are C interfaces; each block says which clause it rests on"
)]

use std::ffi::{CStr, CString, c_char, c_long, c_ulong, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_RV, CK_SESSION_HANDLE, CK_ULONG,
    CKA_VALUE, CKF_OS_LOCKING_OK,
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use rustix::thread::UnshareFlags;
use zeroize::Zeroize;

use super::fault::Fault;

/// A module's own table of functions. The module stays loaded until the process ends.
pub(super) struct Raw {
    functions: CK_FUNCTION_LIST,
}

/// C_Sign and C_Decrypt have one shape.
type OneShot =
    unsafe extern "C" fn(CK_SESSION_HANDLE, *mut u8, CK_ULONG, *mut u8, *mut CK_ULONG) -> CK_RV;

impl Raw {
    /// Loads the module (once more: the system counts) and asks for its functions.
    pub fn load(module: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the module's constructors. Nothing can vouch for them but the administrator's allow-list
        // (design rule 14); this process exists to bear what they do.
        let library = unsafe { libloading::Library::new(module) }.map_err(|e| e.to_string())?;
        // SAFETY: PKCS#11 v2.40 §5.4: a module exports C_GetFunctionList with this signature.
        let get = unsafe {
            library.get::<unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV>(
                b"C_GetFunctionList\0",
            )
        }
        .map_err(|e| e.to_string())?;
        let mut list = ptr::null_mut();
        // SAFETY: §5.4 C_GetFunctionList: may be called before C_Initialize; writes one pointer to where we say.
        let rv = Rv::from(unsafe { get(&mut list) });
        if rv != Rv::Ok || list.is_null() {
            return Err("C_GetFunctionList failed".into());
        }
        // SAFETY: §5.4: on CKR_OK the pointer leads to the module's CK_FUNCTION_LIST; it is copied while the module is loaded.
        let functions = unsafe { ptr::read_unaligned(list) };
        // the function pointers must stay valid
        std::mem::forget(library);
        Ok(Self { functions })
    }

    /// C_Initialize; without `locking` and `reserved`, with NULL.
    pub fn initialize(&self, locking: bool, reserved: Option<&CStr>) -> Result<(), RvError> {
        let mut args = CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: if locking { CKF_OS_LOCKING_OK } else { 0 },
            pReserved: reserved.map_or(ptr::null_mut(), |text| text.as_ptr() as *mut c_void),
        };
        let args = if locking || reserved.is_some() {
            &raw mut args
        } else {
            ptr::null_mut()
        };
        let function = self
            .functions
            .C_Initialize
            .ok_or(RvError::FunctionNotSupported)?;
        // SAFETY: §5.4 C_Initialize: NULL or a CK_C_INITIALIZE_ARGS, which with its string outlives the call. Without
        // CKF_OS_LOCKING_OK the caller enters the module from one thread at a time (`Module::serial`).
        match Rv::from(unsafe { function(args.cast()) }) {
            Rv::Ok => Ok(()),
            Rv::Error(e) => Err(e),
        }
    }

    /// C_Sign after C_SignInit; gives the length of the signature in `out`.
    pub fn sign(&self, session: &Session, data: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        one_shot(self.functions.C_Sign, Function::Sign, session, data, out)
    }

    /// C_Decrypt after C_DecryptInit; gives the length of the plaintext in `out`.
    pub fn decrypt(&self, session: &Session, data: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        one_shot(
            self.functions.C_Decrypt,
            Function::Decrypt,
            session,
            data,
            out,
        )
    }

    /// C_SetPIN
    pub fn set_pin(&self, session: &Session, old: &[u8], new: &[u8]) -> Result<(), Fault> {
        let absent = Fault::Rv(RvError::FunctionNotSupported, Function::SetPIN);
        let function = self.functions.C_SetPIN.ok_or(absent)?;
        // SAFETY: §5.5 C_SetPIN: reads both PINs, with their lengths (it does not write there, the C type only lacks const).
        let rv = Rv::from(unsafe {
            function(
                session.handle(),
                old.as_ptr().cast_mut(),
                old.len() as CK_ULONG,
                new.as_ptr().cast_mut(),
                new.len() as CK_ULONG,
            )
        });
        match rv {
            Rv::Ok => Ok(()),
            Rv::Error(e) => Err(Fault::Rv(e, Function::SetPIN)),
        }
    }

    /// C_InitPIN
    pub fn init_pin(&self, session: &Session, pin: &[u8]) -> Result<(), Fault> {
        let absent = Fault::Rv(RvError::FunctionNotSupported, Function::InitPIN);
        let function = self.functions.C_InitPIN.ok_or(absent)?;
        let (place, len) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
        // SAFETY: §5.5 C_InitPIN: reads the PIN of that length (the C type only lacks const).
        match Rv::from(unsafe { function(session.handle(), place, len) }) {
            Rv::Ok => Ok(()),
            Rv::Error(e) => Err(Fault::Rv(e, Function::InitPIN)),
        }
    }

    /// CKA_VALUE of a derived session object; gives its length in `out`. Never called on a private key (design rule 1).
    pub fn derived_value(
        &self,
        session: &Session,
        object: ObjectHandle,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let absent = Fault::Rv(RvError::FunctionNotSupported, Function::GetAttributeValue);
        let function = self.functions.C_GetAttributeValue.ok_or(absent)?;
        let mut attribute = CK_ATTRIBUTE {
            type_: CKA_VALUE,
            pValue: out.as_mut_ptr().cast(),
            ulValueLen: out.len() as CK_ULONG,
        };
        // SAFETY: §5.7 C_GetAttributeValue: one attribute; writes at most ulValueLen bytes to pValue, which is `out`.
        let rv = unsafe { function(session.handle(), object.handle(), &mut attribute, 1) };
        length(
            rv,
            attribute.ulValueLen,
            out.len(),
            Function::GetAttributeValue,
        )
    }
}

fn one_shot(
    function: Option<OneShot>,
    name: Function,
    session: &Session,
    data: &[u8],
    out: &mut [u8],
) -> Result<usize, Fault> {
    let function = function.ok_or(Fault::Rv(RvError::FunctionNotSupported, name))?;
    let mut len = out.len() as CK_ULONG;
    // SAFETY: §5.2, §5.11 C_Sign, §5.9 C_Decrypt: the module reads `data` (it does not write there, the C type only lacks
    // const) and writes at most `len` bytes to `out`. The session is open: its owner is borrowed, and a Session is not Sync.
    let rv = unsafe {
        function(
            session.handle(),
            data.as_ptr().cast_mut(),
            data.len() as CK_ULONG,
            out.as_mut_ptr(),
            &mut len,
        )
    };
    length(rv, len, out.len(), name)
}

/// The length that a module says it has written; one longer than there is room for is a lie.
fn length(rv: CK_RV, len: CK_ULONG, room: usize, name: Function) -> Result<usize, Fault> {
    match (Rv::from(rv), usize::try_from(len)) {
        (Rv::Ok, Ok(len)) if len <= room => Ok(len),
        (Rv::Ok, _) => Err(Fault::Rv(RvError::BufferTooSmall, name)),
        (Rv::Error(e), _) => Err(Fault::Rv(e, name)),
    }
}

/// A PIN in a mapping of its own: not swapped out (mlock(2)), in no core file, wiped at its end.
pub(super) struct LockedPin {
    page: ptr::NonNull<c_void>,
    len: usize,
}

// SAFETY: nobody else has the pointer.
unsafe impl Send for LockedPin {}

impl LockedPin {
    /// No page is smaller; the system rounds up.
    const SIZE: usize = 4096;

    /// # Errors
    /// No memory, or none that may be locked (RLIMIT_MEMLOCK).
    pub fn new(pin: &[u8]) -> std::io::Result<Self> {
        if pin.len() > Self::SIZE {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: mmap(2): a new private mapping, wherever there is room.
        let page =
            unsafe { mmap_anonymous(ptr::null_mut(), Self::SIZE, protection, MapFlags::PRIVATE) }?;
        let page = ptr::NonNull::new(page).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let locked = Self {
            page,
            len: pin.len(),
        };
        // SAFETY: mlock(2), madvise(2): the mapping is ours and has this size.
        unsafe {
            mlock(page.as_ptr(), Self::SIZE)?;
            madvise(page.as_ptr(), Self::SIZE, Advice::LinuxDontDump)?;
        }
        // SAFETY: the mapping is writable, longer than the PIN, and overlaps nothing.
        unsafe { ptr::copy_nonoverlapping(pin.as_ptr(), page.as_ptr().cast(), pin.len()) };
        Ok(locked)
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes of the mapping, which lives as long as this.
        unsafe { std::slice::from_raw_parts(self.page.as_ptr().cast(), self.len) }
    }
}

impl Drop for LockedPin {
    fn drop(&mut self) {
        // SAFETY: all of our mapping, which nobody borrows any more; then it is gone, and its lock with it.
        unsafe {
            std::slice::from_raw_parts_mut(self.page.as_ptr().cast::<u8>(), Self::SIZE).zeroize();
            let _ = munmap(self.page.as_ptr(), Self::SIZE);
        }
    }
}

/// The system's PC/SC library. Loaded where it is needed, not linked: tokens without readers must not need it.
pub(super) struct Pcsc {
    establish: Symbol<EstablishContext>,
    release: Symbol<ReleaseContext>,
    list: Symbol<ListReaders>,
    change: Symbol<GetStatusChange>,
    connect: Symbol<Connect>,
    disconnect: Symbol<Disconnect>,
}

type Symbol<T> = libloading::os::unix::Symbol<T>;
type EstablishContext =
    unsafe extern "C" fn(c_ulong, *const c_void, *const c_void, *mut c_long) -> c_long;
type ReleaseContext = unsafe extern "C" fn(c_long) -> c_long;
type ListReaders = unsafe extern "C" fn(c_long, *const c_char, *mut c_char, *mut c_ulong) -> c_long;
type GetStatusChange = unsafe extern "C" fn(c_long, c_ulong, *mut ReaderState, c_ulong) -> c_long;
type Connect = unsafe extern "C" fn(
    c_long,
    *const c_char,
    c_ulong,
    c_ulong,
    *mut c_long,
    *mut c_ulong,
) -> c_long;
type Disconnect = unsafe extern "C" fn(c_long, c_ulong) -> c_long;

/// SCARD_READERSTATE of pcsc-lite's winscard.h.
#[repr(C)]
struct ReaderState {
    reader: *const c_char,
    user_data: *mut c_void,
    current_state: c_ulong,
    event_state: c_ulong,
    atr_len: c_ulong,
    atr: [u8; 33],
}

impl ReaderState {
    /// `known` is the state that the caller knows; 0: none.
    fn of(name: &CStr, known: c_ulong) -> Self {
        Self {
            reader: name.as_ptr(),
            user_data: ptr::null_mut(),
            current_state: known,
            event_state: 0,
            atr_len: 0,
            atr: [0; 33],
        }
    }
}

/// A reader and its dwEventState.
pub(super) struct Seen {
    pub name: CString,
    state: c_ulong,
}

impl Seen {
    /// `None`: no card. Else pcsc-lite's counter of cards that came and went (the upper half of dwEventState).
    pub fn card(&self) -> Option<u16> {
        const PRESENT: c_ulong = 0x20;
        let counter = u16::try_from((self.state >> 16) & 0xffff).unwrap_or(0);
        (self.state & PRESENT != 0).then_some(counter)
    }
}

/// An error of PC/SC, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PcscError(pub u32);

impl PcscError {
    const TIMEOUT: Self = Self(0x8010_000a);
    const UNKNOWN_READER: Self = Self(0x8010_0009);
    const INSUFFICIENT_BUFFER: Self = Self(0x8010_0008);
    const NO_READERS: Self = Self(0x8010_002e);
}

/// A connection to pcscd.
pub(super) struct PcscContext<'a> {
    library: &'a Pcsc,
    handle: c_long,
}

impl Pcsc {
    pub fn load() -> Result<Self, String> {
        let load = || {
            // SAFETY: the system's own PC/SC library, by the name of its ABI; found as for any other program.
            let library = unsafe { libloading::os::unix::Library::new("libpcsclite.so.1") }?;
            // SAFETY: the types are those of the functions in pcsc-lite's winscard.h, where LONG, DWORD, SCARDCONTEXT and
            // SCARDHANDLE are (unsigned) long.
            let loaded = unsafe {
                Self {
                    establish: library.get(b"SCardEstablishContext\0")?,
                    release: library.get(b"SCardReleaseContext\0")?,
                    list: library.get(b"SCardListReaders\0")?,
                    change: library.get(b"SCardGetStatusChange\0")?,
                    connect: library.get(b"SCardConnect\0")?,
                    disconnect: library.get(b"SCardDisconnect\0")?,
                }
            };
            // the function pointers must stay valid
            std::mem::forget(library);
            Ok(loaded)
        };
        load().map_err(|e: libloading::Error| e.to_string())
    }

    /// SCardEstablishContext: fails where no pcscd runs.
    pub fn context(&self) -> Result<PcscContext<'_>, PcscError> {
        const SCOPE_SYSTEM: c_ulong = 2;
        let mut handle = 0;
        // SAFETY: both reserved pointers are NULL as winscard.h wants it; writes one handle to where we say.
        scard(unsafe { (self.establish)(SCOPE_SYSTEM, ptr::null(), ptr::null(), &mut handle) })?;
        Ok(PcscContext {
            library: self,
            handle,
        })
    }
}

impl PcscContext<'_> {
    /// The names of all readers. Connects to none.
    pub fn readers(&self) -> Result<Vec<CString>, PcscError> {
        // more readers may come between the two calls; not for ever
        for _ in 0..8 {
            let mut len: c_ulong = 0;
            // SAFETY: NULL groups: all; NULL buffer: writes the length that is needed.
            let asked = scard(unsafe {
                (self.library.list)(self.handle, ptr::null(), ptr::null_mut(), &mut len)
            });
            if asked == Err(PcscError::NO_READERS) {
                return Ok(Vec::new());
            }
            asked?;
            let mut names = vec![0_u8; usize::try_from(len).unwrap_or(0).min(64 * 1024)];
            let mut len = names.len() as c_ulong;
            // SAFETY: writes at most `len` bytes to `names`.
            let listed = scard(unsafe {
                (self.library.list)(
                    self.handle,
                    ptr::null(),
                    names.as_mut_ptr().cast(),
                    &mut len,
                )
            });
            match listed {
                Ok(()) => {
                    let names = names
                        .split(|byte| *byte == 0)
                        .filter(|name| !name.is_empty());
                    return Ok(names.filter_map(|name| CString::new(name).ok()).collect());
                }
                Err(PcscError::NO_READERS) => return Ok(Vec::new()),
                Err(PcscError::INSUFFICIENT_BUFFER) => {}
                Err(e) => return Err(e),
            }
        }
        Err(PcscError::INSUFFICIENT_BUFFER)
    }

    /// What is in these readers now. Connects to no card.
    pub fn look(&self, names: Vec<CString>) -> Result<Vec<Seen>, PcscError> {
        let mut states: Vec<ReaderState> = names.iter().map(|n| ReaderState::of(n, 0)).collect();
        if !states.is_empty() {
            self.change(Duration::ZERO, &mut states)?;
        }
        let seen = names.into_iter().zip(&states);
        Ok(seen
            .map(|(name, state)| Seen {
                name,
                state: state.event_state,
            })
            .collect())
    }

    /// Waits until a reader or a card comes or goes, or for this time.
    pub fn wait_for_change(&self, seen: &[Seen], at_most: Duration) -> Result<(), PcscError> {
        let mut states = vec![ReaderState::of(c"\\\\?PnP?\\Notification", 0)];
        states.extend(seen.iter().map(|s| ReaderState::of(&s.name, s.state)));
        match self.change(at_most, &mut states) {
            // a reader that has gone since is a change too
            Err(PcscError::TIMEOUT | PcscError::UNKNOWN_READER) => Ok(()),
            other => other,
        }
    }

    fn change(&self, at_most: Duration, states: &mut [ReaderState]) -> Result<(), PcscError> {
        let millis = at_most.as_millis().try_into().unwrap_or(c_ulong::MAX);
        let count = states.len() as c_ulong;
        // SAFETY: `count` SCARD_READERSTATEs; the names they point to are borrowed by the callers for the time of the call.
        let rv = unsafe { (self.library.change)(self.handle, millis, states.as_mut_ptr(), count) };
        match scard(rv) {
            Err(PcscError::TIMEOUT) if at_most.is_zero() => Ok(()),
            other => other,
        }
    }

    /// Resets the card in a reader: it forgets that a PIN was right (ISO 7816-4: security status). Other programs that use
    /// the card are told so by PC/SC.
    pub fn reset_card(&self, reader: &CStr) -> Result<(), PcscError> {
        const SHARE_SHARED: c_ulong = 2;
        const PROTOCOL_T0_OR_T1: c_ulong = 3;
        const RESET_CARD: c_ulong = 1;
        let (mut card, mut protocol) = (0, 0);
        // SAFETY: the name ends with NUL; writes one handle and one number to where we say.
        scard(unsafe {
            (self.library.connect)(
                self.handle,
                reader.as_ptr(),
                SHARE_SHARED,
                PROTOCOL_T0_OR_T1,
                &mut card,
                &mut protocol,
            )
        })?;
        // SAFETY: the handle is that of the connection above, and is not used again.
        scard(unsafe { (self.library.disconnect)(card, RESET_CARD) })
    }
}

impl Drop for PcscContext<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is not used again.
        let _ = unsafe { (self.library.release)(self.handle) };
    }
}

fn scard(rv: c_long) -> Result<(), PcscError> {
    match rv {
        0 => Ok(()),
        // SCARD_* are 32 bits, sign-extended or not
        rv => Err(PcscError(rv as u32)),
    }
}

/// New namespaces for this process, of these kinds.
pub(super) fn unshare(namespaces: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: unshare(2): only CLONE_FILES, CLONE_FS and CLONE_SYSVSEM part threads from what they share; they are taken out.
    unsafe {
        rustix::thread::unshare_unsafe(
            namespaces.difference(UnshareFlags::FILES | UnshareFlags::FS | UnshareFlags::SYSVSEM),
        )
    }
}

/// Whether mounts below a mount are meant too.
#[derive(Clone, Copy)]
pub(super) enum Below {
    Too,
    Not,
}

/// Adds attributes (MOUNT_ATTR_*) to a mount.
pub(super) fn restrict_mount(
    mount: BorrowedFd<'_>,
    attributes: u64,
    below: Below,
) -> io::Result<()> {
    let change = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = match below {
        Below::Too => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
        Below::Not => libc::AT_EMPTY_PATH,
    };
    // SAFETY: mount_setattr(2): reads the empty path and the structure, which is as long as it says; changes no memory.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps the pages that these bytes are in out of swap, for as long as they are mapped.
pub(super) fn lock_in_memory(bytes: &[u8]) -> rustix::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    // SAFETY: mlock(2) changes nothing that a program sees of these pages, which are mapped: they are borrowed.
    unsafe { mlock(bytes.as_ptr().cast_mut().cast(), bytes.len()) }
}
