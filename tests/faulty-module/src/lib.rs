//! A PKCS#11 module that forwards everything to another one, writes down what it was asked for, and fails on command.
//!
//! `PRIVYSEAL_FAULTY_TARGET` names the module behind it, `PRIVYSEAL_FAULTY_LOG` the file that gets one line a call:
//! the function, the class of the object in question, and the attribute types named
//! (`C_GetAttributeValue CKO_PRIVATE_KEY CKA_ID,CKA_MODULUS`). Never a PIN, a value or a message.
//! `PRIVYSEAL_FAULTY_SCRIPT` is the file that says what goes wrong (see [`script`]).
//! With `PRIVYSEAL_FAULTY_KEYPAD` its tokens have a keypad, on which a person types what the variable says at each C_Login.
//! It offers PKCS#11 2.40 only (no C_GetInterface), so that no call passes it by.

#![allow(
    unsafe_code,
    non_snake_case,
    clippy::missing_safety_doc,
    reason = "the C interface of PKCS#11, for tests; every function has the contract of the standard's function of its name"
)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use cryptoki_sys::*;

mod hostile;
mod script;

use script::{Fault, fault_of};

static TARGET: OnceLock<Option<CK_FUNCTION_LIST>> = OnceLock::new();
static SPY: OnceLock<CK_FUNCTION_LIST> = OnceLock::new();
static LOG: OnceLock<Option<Mutex<File>>> = OnceLock::new();

/// Loads the target, once, for the life of the process.
fn target() -> Option<&'static CK_FUNCTION_LIST> {
    let load = || {
        let path = std::env::var_os("PRIVYSEAL_FAULTY_TARGET")?;
        // SAFETY: the test says which module this is.
        let library = unsafe { libloading::Library::new(path) }.ok()?;
        // SAFETY: PKCS#11 v2.40 §5.4: a module exports C_GetFunctionList with this signature.
        let get = unsafe {
            library.get::<unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV>(
                b"C_GetFunctionList\0",
            )
        }
        .ok()?;
        let mut list = std::ptr::null_mut();
        // SAFETY: §5.4 C_GetFunctionList writes one pointer.
        if unsafe { get(&mut list) } != CKR_OK || list.is_null() {
            return None;
        }
        // SAFETY: on CKR_OK it leads to the module's list.
        let functions = unsafe { std::ptr::read_unaligned(list) };
        std::mem::forget(library);
        Some(functions)
    };
    TARGET.get_or_init(load).as_ref()
}

fn log(line: &str) {
    let open = || {
        let path = std::env::var_os("PRIVYSEAL_FAULTY_LOG")?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.ok().map(Mutex::new)
    };
    if let Some(file) = LOG.get_or_init(open) {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // a test that misses lines fails; this module has nobody to tell
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// A function that logs a line and calls the target's function of its name, unless a fault comes in between. Behind `writes`: where
/// it writes, and where it says how much.
macro_rules! spy {
    ($($name:ident($($arg:ident: $type:ty),*) $line:expr $(, writes $place:ident $len:ident)?;)*) => {
        $(
            unsafe extern "C" fn $name($($arg: $type),*) -> CK_RV {
                let Some(function) = target().and_then(|t| t.$name) else {
                    return CKR_FUNCTION_NOT_SUPPORTED;
                };
                let detail: String = $line;
                log(format!("{} {detail}", stringify!($name)).trim_end());
                let fault = fault_of(stringify!($name));
                if let Some(instead) = fault.as_ref().and_then(before) {
                    return instead;
                }
                // SAFETY: the caller's arguments, unchanged: its side of the contract is the target's.
                let rv = unsafe { function($($arg),*) };
                let written: Option<Written> =
                    [$(Written { place: $place.cast(), len: $len })?].into_iter().next();
                match fault {
                    Some(fault) => after(fault, rv, written),
                    None => rv,
                }
            }
        )*
        fn with_spies(mut list: CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
            $(
                if list.$name.is_some() {
                    list.$name = Some($name);
                }
            )*
            list.C_GetFunctionList = Some(C_GetFunctionList);
            if typed().is_some() {
                list.C_GetTokenInfo = Some(with_keypad);
                list.C_Login = Some(by_keypad);
            }
            list
        }
    };
}

/// The memory that a function writes to, and the number that says how much.
struct Written {
    place: *mut u8,
    len: *mut CK_ULONG,
}

/// What happens instead of the call; `None`: it is made.
fn before(fault: &Fault) -> Option<CK_RV> {
    match fault {
        Fault::Crash => std::process::abort(),
        Fault::Hang => loop {
            std::thread::park();
        },
        Fault::Return(rv) => Some(*rv),
        Fault::Delay(time) => {
            std::thread::sleep(*time);
            None
        }
        Fault::Try(kind, with) => {
            let outcome = match hostile::attempt(kind, with) {
                Ok(()) => "done".to_owned(),
                Err(e) => e.to_string(),
            };
            log(&format!("tried {kind} {with}: {outcome}"));
            None
        }
        Fault::DoneBut(_) | Fault::Lie(_) | Fault::Garbage => None,
    }
}

/// What becomes of its result.
fn after(fault: Fault, rv: CK_RV, written: Option<Written>) -> CK_RV {
    match (fault, written) {
        (Fault::DoneBut(rv), _) => rv,
        (Fault::Lie(count), Some(Written { len, .. })) if !len.is_null() => {
            // SAFETY: the caller's length, which the function has written to already.
            unsafe { len.write(count) };
            rv
        }
        (Fault::Garbage, Some(Written { place, len })) if !place.is_null() && !len.is_null() => {
            // SAFETY: the function has written `len` bytes there (for lists of numbers: at least as many).
            unsafe {
                let count = usize::try_from(len.read()).unwrap_or(0);
                for byte in std::slice::from_raw_parts_mut(place, count) {
                    *byte = !*byte;
                }
            }
            rv
        }
        _ => rv,
    }
}

/// What a person types on the keypad, if there is one.
fn typed() -> Option<String> {
    std::env::var("PRIVYSEAL_FAULTY_KEYPAD").ok()
}

unsafe extern "C" fn with_keypad(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    // SAFETY: the caller's arguments, unchanged.
    let rv = unsafe { C_GetTokenInfo(slot, info) };
    if rv == CKR_OK {
        // SAFETY: §5.5 C_GetTokenInfo has written it.
        unsafe { (*info).flags |= CKF_PROTECTED_AUTHENTICATION_PATH };
    }
    rv
}

/// §5.6 C_Login: with a keypad the PIN is NULL_PTR.
unsafe extern "C" fn by_keypad(
    session: Session,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    _len: CK_ULONG,
) -> CK_RV {
    let (true, Some(mut typed)) = (pin.is_null(), typed()) else {
        return CKR_ARGUMENTS_BAD;
    };
    // SAFETY: the caller's session, and a PIN that lives through the call.
    unsafe { C_Login(session, user, typed.as_mut_ptr(), typed.len() as CK_ULONG) }
}

type Session = CK_SESSION_HANDLE;
type Object = CK_OBJECT_HANDLE;
type Template = *mut CK_ATTRIBUTE;
type Mechanism = *mut CK_MECHANISM;
type Bytes = *mut CK_BYTE;
type Len = *mut CK_ULONG;
type NewObject = *mut CK_OBJECT_HANDLE;

spy! {
    C_GetInfo(info: *mut CK_INFO) String::new();
    C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: Len) String::new(), writes slots count;
    C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) String::new();
    C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) String::new();
    C_GetMechanismList(slot: CK_SLOT_ID, kinds: *mut CK_MECHANISM_TYPE, count: Len) String::new(), writes kinds count;
    C_GetSessionInfo(session: Session, info: *mut CK_SESSION_INFO) String::new();
    C_FindObjects(session: Session, objects: NewObject, most: CK_ULONG, count: Len) String::new(), writes objects count;
    C_FindObjectsFinal(session: Session) String::new();
    C_Initialize(args: *mut std::os::raw::c_void) String::new();
    C_Finalize(args: *mut std::os::raw::c_void) String::new();
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, data: *mut std::os::raw::c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE)
        String::new();
    C_CloseSession(session: Session) String::new();
    C_CloseAllSessions(slot: CK_SLOT_ID) String::new();
    C_InitToken(slot: CK_SLOT_ID, pin: *mut CK_UTF8CHAR, len: CK_ULONG, label: *mut CK_UTF8CHAR) String::new();
    C_InitPIN(session: Session, pin: *mut CK_UTF8CHAR, len: CK_ULONG) String::new();
    C_SetPIN(session: Session, old: *mut CK_UTF8CHAR, old_len: CK_ULONG, new: *mut CK_UTF8CHAR, new_len: CK_ULONG) String::new();
    C_Login(session: Session, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, len: CK_ULONG) user_type(user);
    C_Logout(session: Session) String::new();
    C_FindObjectsInit(session: Session, template: Template, count: CK_ULONG) described(template, count);
    C_GetAttributeValue(session: Session, object: Object, template: Template, count: CK_ULONG)
        format!("{} {}", class_of(session, object), types(template, count));
    C_SetAttributeValue(session: Session, object: Object, template: Template, count: CK_ULONG)
        format!("{} {}", class_of(session, object), types(template, count));
    C_CreateObject(session: Session, template: Template, count: CK_ULONG, object: NewObject) described(template, count);
    C_CopyObject(session: Session, object: Object, template: Template, count: CK_ULONG, copy: NewObject)
        format!("{} {}", class_of(session, object), types(template, count));
    C_DestroyObject(session: Session, object: Object) class_of(session, object);
    C_GenerateKey(session: Session, mechanism: Mechanism, template: Template, count: CK_ULONG, key: NewObject)
        format!("{} {}", mechanism_of(mechanism), described(template, count));
    C_GenerateKeyPair(session: Session, mechanism: Mechanism, public: Template, publics: CK_ULONG, private: Template, privates: CK_ULONG, key: NewObject, own: NewObject)
        format!("{} {} {}", mechanism_of(mechanism), types(public, publics), types(private, privates));
    C_WrapKey(session: Session, mechanism: Mechanism, by: Object, key: Object, wrapped: Bytes, len: Len)
        format!("{} {}", mechanism_of(mechanism), class_of(session, key));
    C_UnwrapKey(session: Session, mechanism: Mechanism, by: Object, wrapped: Bytes, len: CK_ULONG, template: Template, count: CK_ULONG, key: NewObject)
        format!("{} {}", mechanism_of(mechanism), described(template, count));
    C_DeriveKey(session: Session, mechanism: Mechanism, base: Object, template: Template, count: CK_ULONG, key: NewObject)
        format!("{} {} {}", mechanism_of(mechanism), class_of(session, base), described(template, count));
    C_SignInit(session: Session, mechanism: Mechanism, key: Object) format!("{} {}", mechanism_of(mechanism), class_of(session, key));
    C_Sign(session: Session, data: Bytes, len: CK_ULONG, signature: Bytes, room: Len) String::new(), writes signature room;
    C_DecryptInit(session: Session, mechanism: Mechanism, key: Object) format!("{} {}", mechanism_of(mechanism), class_of(session, key));
    C_Decrypt(session: Session, data: Bytes, len: CK_ULONG, plain: Bytes, room: Len) String::new(), writes plain room;
}

/// The one function that a module must export.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let Some(target) = target() else {
        return CKR_GENERAL_ERROR;
    };
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let spy = SPY.get_or_init(|| with_spies(*target));
    // SAFETY: §5.4 C_GetFunctionList: the caller's pointer takes one pointer. The list is not written to by anyone.
    unsafe { list.write(std::ptr::from_ref(spy).cast_mut()) };
    CKR_OK
}

fn attributes<'a>(template: Template, count: CK_ULONG) -> &'a [CK_ATTRIBUTE] {
    match usize::try_from(count) {
        Ok(count) if !template.is_null() => {
            // SAFETY: §5.7: a template is an array of `count` attributes, valid for the call.
            unsafe { std::slice::from_raw_parts(template, count) }
        }
        _ => &[],
    }
}

/// Class (where the template says it) and types of a template.
fn described(template: Template, count: CK_ULONG) -> String {
    let class = attributes(template, count)
        .iter()
        .find(|a| a.type_ == CKA_CLASS && !a.pValue.is_null())
        .filter(|a| usize::try_from(a.ulValueLen) == Ok(size_of::<CK_OBJECT_CLASS>()))
        // SAFETY: §4.2: the value of CKA_CLASS is a CK_OBJECT_CLASS, and it is as long as one.
        .map(|a| unsafe { a.pValue.cast::<CK_OBJECT_CLASS>().read_unaligned() });
    format!(
        "{} {}",
        class.map_or_else(|| "any".into(), class_name),
        types(template, count)
    )
}

fn types(template: Template, count: CK_ULONG) -> String {
    let names = attributes(template, count)
        .iter()
        .map(|a| attribute_name(a.type_));
    names.collect::<Vec<_>>().join(",")
}

/// Asks the target, past the log.
fn class_of(session: Session, object: Object) -> String {
    let mut class: CK_OBJECT_CLASS = 0;
    let mut attribute = CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: std::ptr::from_mut(&mut class).cast(),
        ulValueLen: size_of::<CK_OBJECT_CLASS>() as CK_ULONG,
    };
    let Some(get) = target().and_then(|t| t.C_GetAttributeValue) else {
        return "unknown".into();
    };
    // SAFETY: §5.7 C_GetAttributeValue: one attribute with room for its value.
    if unsafe { get(session, object, &mut attribute, 1) } == CKR_OK {
        class_name(class)
    } else {
        "unknown".into()
    }
}

fn mechanism_of(mechanism: Mechanism) -> String {
    if mechanism.is_null() {
        return "none".into();
    }
    // SAFETY: §5: a mechanism argument points to a CK_MECHANISM, valid for the call.
    let kind = unsafe { (*mechanism).mechanism };
    format!("mechanism={kind:#x}")
}

fn user_type(user: CK_USER_TYPE) -> String {
    match user {
        CKU_SO => "CKU_SO".into(),
        CKU_USER => "CKU_USER".into(),
        CKU_CONTEXT_SPECIFIC => "CKU_CONTEXT_SPECIFIC".into(),
        other => format!("{other:#x}"),
    }
}

fn class_name(class: CK_OBJECT_CLASS) -> String {
    match class {
        CKO_DATA => "CKO_DATA".into(),
        CKO_CERTIFICATE => "CKO_CERTIFICATE".into(),
        CKO_PUBLIC_KEY => "CKO_PUBLIC_KEY".into(),
        CKO_PRIVATE_KEY => "CKO_PRIVATE_KEY".into(),
        CKO_SECRET_KEY => "CKO_SECRET_KEY".into(),
        other => format!("{other:#x}"),
    }
}

/// Names for all attributes that matter to a test; numbers for the others.
macro_rules! names {
    ($($name:ident)*) => {
        fn attribute_name(kind: CK_ATTRIBUTE_TYPE) -> String {
            match kind {
                $($name => stringify!($name).into(),)*
                other => format!("{other:#x}"),
            }
        }
    };
}

names! {
    CKA_CLASS CKA_TOKEN CKA_PRIVATE CKA_LABEL CKA_VALUE CKA_CERTIFICATE_TYPE CKA_KEY_TYPE CKA_ID CKA_SENSITIVE CKA_ENCRYPT
    CKA_DECRYPT CKA_WRAP CKA_UNWRAP CKA_SIGN CKA_VERIFY CKA_DERIVE CKA_MODULUS CKA_PUBLIC_EXPONENT CKA_PRIVATE_EXPONENT
    CKA_PRIME_1 CKA_PRIME_2 CKA_EXPONENT_1 CKA_EXPONENT_2 CKA_COEFFICIENT CKA_VALUE_LEN CKA_EXTRACTABLE CKA_EC_PARAMS
    CKA_EC_POINT CKA_ALWAYS_AUTHENTICATE
}
