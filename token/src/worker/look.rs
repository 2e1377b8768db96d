//! Looks which tokens a module has, and at what is on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cryptoki::slot::Slot;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::module::Module;
use super::objects;
use super::token::{Token, lock};
use crate::error::Result;
use crate::{TokenId, TokenInfo};

/// Slots that are looked at.
const MAX_TOKENS: usize = 64;

impl Module {
    /// Looks which tokens there are; at the objects of new ones, or (`thorough`) of all.
    pub fn refresh(&self, thorough: bool) -> Result<()> {
        let _looking = lock(&self.looking);
        self.touched.store(true, Ordering::Release);
        let slots = self
            .pkcs11
            .get_slots_with_token()
            .map_err(|e| Fault::from(e).error())?;
        let before = lock(&self.tokens).clone();
        let mut now = BTreeMap::new();
        for slot in slots.into_iter().take(MAX_TOKENS) {
            // a card that was pulled since C_GetSlotList
            let Ok(info) = self.describe(slot) else {
                continue;
            };
            if !self.scope.takes(&info.reader) {
                continue;
            }
            if now.contains_key(&info.id) {
                tracing::warn!(token = %info.id.0, label = info.label, "two tokens of one name: the second is not used");
                continue;
            }
            let token = match before.get(&info.id) {
                Some(known) if known.slot == slot => {
                    self.update(known, info, thorough);
                    Arc::clone(known)
                }
                _ => {
                    let token = Token::new(info.id.clone(), slot, info);
                    self.list_objects(&token);
                    Arc::new(token)
                }
            };
            now.insert(token.id.clone(), token);
        }
        *lock(&self.tokens) = now;
        Ok(())
    }

    fn update(&self, token: &Token, info: TokenInfo, thorough: bool) {
        let mut state = lock(&token.state);
        let was = std::mem::replace(&mut state.info, info);
        state.info.mechanisms = was.mechanisms;
        state.info.unlocked = was.unlocked;
        state.info.pin_kept = was.pin_kept;
        state.info.lone_keys = was.lone_keys;
        let anew = thorough || state.info.initialized != was.initialized;
        let lost = was.unlocked && state.anchor.is_some();
        drop(state);
        token.drop_expired_pin();
        if lost && !token.login_holds() {
            // pulled and put back between two looks, or reset by another program
            tracing::info!(token = %token.id.0, "the login is gone");
            token.reset();
            self.list_objects(token);
        } else if anew {
            self.list_objects(token);
        }
    }

    /// What C_GetTokenInfo and C_GetSlotInfo say now. Mechanisms: for tokens that are not known yet.
    pub fn describe(&self, slot: Slot) -> Result<TokenInfo, Fault> {
        let said = self.pkcs11.get_token_info(slot)?;
        let reader = self.pkcs11.get_slot_info(slot)?;
        let id = self.token_id(said.serial_number(), said.label());
        let mechanisms = if lock(&self.tokens).get(&id).is_some_and(|t| t.slot == slot) {
            Vec::new()
        } else {
            let known = self.pkcs11.get_mechanism_list(slot).unwrap_or_default();
            known.iter().map(ToString::to_string).collect()
        };
        let pin_len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Ok(TokenInfo {
            id,
            label: said.label().to_owned(),
            serial: said.serial_number().to_owned(),
            manufacturer: said.manufacturer_id().to_owned(),
            model: said.model().to_owned(),
            reader: reader.slot_description().to_owned(),
            initialized: said.token_initialized(),
            login_required: said.login_required(),
            protected_auth_path: said.protected_authentication_path(),
            user_pin_initialized: said.user_pin_initialized(),
            unlocked: false,
            pin_min: pin_len(said.min_pin_length()),
            pin_max: pin_len(said.max_pin_length()),
            pin_count_low: said.user_pin_count_low(),
            pin_final_try: said.user_pin_final_try(),
            pin_locked: said.user_pin_locked(),
            pin_to_be_changed: said.user_pin_to_be_changed(),
            so_pin_final_try: said.so_pin_final_try(),
            so_pin_locked: said.so_pin_locked(),
            pin_kept: false,
            lone_keys: Vec::new(),
            mechanisms,
        })
    }

    fn token_id(&self, serial: &str, label: &str) -> TokenId {
        let mut hash = Sha256::new();
        let path = self.path.as_os_str().as_encoded_bytes();
        for part in [serial.as_bytes(), label.as_bytes(), path] {
            let len = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hash.update(len.to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        TokenId(digest.iter().take(16).map(|b| format!("{b:02x}")).collect())
    }

    /// Reads a token's certificates and keys; what cannot be read is left as it was.
    pub fn list_objects(&self, token: &Token) {
        self.touched.store(true, Ordering::Release);
        let (initialized, private) = {
            let state = lock(&token.state);
            let info = &state.info;
            (info.initialized, info.unlocked || !info.login_required)
        };
        if !initialized {
            let mut state = lock(&token.state);
            state.certificates.clear();
            state.info.lone_keys.clear();
            return;
        }
        let listed = token.session(&self.pkcs11).and_then(|session| {
            let listed = objects::listed(&session, private)?;
            token.put_back(session);
            Ok(listed)
        });
        match listed {
            Ok(listed) => {
                let mut state = lock(&token.state);
                state.certificates = listed.certificates;
                state.info.lone_keys = listed.lone_keys;
            }
            Err(fault) => {
                let error = fault.error();
                tracing::warn!(op = "list", token = %token.id.0, %error, "objects not read");
            }
        }
    }
}
