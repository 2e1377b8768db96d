//! `org.privyseal1.Module`.

use std::sync::Arc;

use privyseal_token::ModuleStatus;
use zbus::interface;

use super::objects::Shown;
use crate::registry::ModuleState;

#[derive(Clone)]
pub struct ModuleObject {
    pub state: Arc<Shown<ModuleState>>,
}

#[interface(name = "org.privyseal1.Module")]
impl ModuleObject {
    #[zbus(property(emits_changed_signal = "const"))]
    async fn path(&self) -> String {
        self.state.get().path.display().to_string()
    }

    #[zbus(property)]
    pub async fn description(&self) -> String {
        self.state
            .get()
            .info
            .as_ref()
            .map(|info| info.description.clone())
            .unwrap_or_default()
    }

    #[zbus(property)]
    pub async fn manufacturer(&self) -> String {
        self.state
            .get()
            .info
            .as_ref()
            .map(|info| info.manufacturer.clone())
            .unwrap_or_default()
    }

    #[zbus(property)]
    pub async fn library_version(&self) -> String {
        self.state
            .get()
            .info
            .as_ref()
            .map(|info| info.library_version.clone())
            .unwrap_or_default()
    }

    #[zbus(property)]
    pub async fn status(&self) -> String {
        let word = match self.state.get().status {
            ModuleStatus::Loading => "loading",
            ModuleStatus::Ok => "ok",
            ModuleStatus::Failed(_) => "failed",
            ModuleStatus::Quarantined(_) => "quarantined",
            ModuleStatus::Disabled => "disabled",
        };
        word.to_owned()
    }

    #[zbus(property)]
    pub async fn last_error(&self) -> String {
        let state = self.state.get();
        match &state.status {
            ModuleStatus::Failed(why) | ModuleStatus::Quarantined(why) => why.clone(),
            ModuleStatus::Ok if !state.unconfined.is_empty() => {
                format!(
                    "confined less than it could be: {}",
                    state.unconfined.join("; ")
                )
            }
            _ => String::new(),
        }
    }
}
