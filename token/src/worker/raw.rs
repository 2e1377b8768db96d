//! The calls that the `cryptoki` crate cannot make, or makes in a way that does not do here. The only file with `unsafe`.
//!
//! - C_Initialize(NULL): cryptoki always passes arguments. pReserved as text.
//! - C_Sign and C_Decrypt *alone*: cryptoki begins with an Init of its own, which undoes a context-specific login, and calls
//!   twice (once for the length).
//! - C_GetAttributeValue into memory that is wiped, for derived secrets.

#![allow(
    unsafe_code,
    reason = "PKCS#11 is a C interface; each block says which clause it rests on"
)]

use std::ffi::{CStr, c_void};
use std::path::Path;
use std::ptr;

use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_RV, CK_SESSION_HANDLE, CK_ULONG,
    CKA_VALUE, CKF_OS_LOCKING_OK,
};

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
