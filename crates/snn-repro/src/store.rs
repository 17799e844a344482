//! Where a run writes: partial state that survives a kill, and files that appear all at once when the run has succeeded.
//!
//! Beside the final folder `smoke-1/` stands `smoke-1.partial/` while the run goes on:
//! `lock` (held by the running process), `begun.json` (with which arguments), `checkpoints/NAME/` and `files/`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::LabError;

/// The arguments that partial state depends on and the folder's name does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) version: String,
    pub(crate) data: Option<PathBuf>,
}

impl std::fmt::Display for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.data {
            Some(data) => write!(f, "by version {} with data {}", self.version, data.display()),
            None => write!(f, "by version {} without data", self.version),
        }
    }
}

pub(crate) struct Store {
    dir: PathBuf,
    partial: PathBuf,
    lock: File,
    resumed: bool,
}

impl Store {
    /// Opens the place of a run. With `resume`, checkpoints of an earlier attempt are kept; else they are removed.
    pub(crate) fn open(dir: &Path, begun: &Begun, resume: bool) -> Result<Store, LabError> {
        let partial = beside(dir, ".partial");
        fs::create_dir_all(&partial).map_err(LabError::io("create the folder", &partial))?;
        let path = partial.join("lock");
        let lock = File::create(&path).map_err(LabError::io("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LabError::Busy { path: dir.into() }),
            // Some network file systems have no locks; a run there is as good as it was without them.
            Err(TryLockError::Error(_)) => {}
        }
        let store = Store { dir: dir.into(), resumed: resume && has_checkpoints(&partial), partial, lock };
        // A run killed between the two renames of `commit` leaves the older result here.
        let replaced = store.partial.join("replaced");
        if replaced.exists() && !dir.exists() {
            fs::rename(&replaced, dir).map_err(LabError::io("put back", dir))?;
        }
        let path = store.partial.join("begun.json");
        if store.resumed {
            let was: Option<Begun> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if was.as_ref() != Some(begun) {
                let was = was.map_or_else(|| "in an unknown way".to_owned(), |was| was.to_string());
                return Err(LabError::OtherRun { path: store.partial, was, now: begun.to_string() });
            }
        } else {
            remove_dir(&store.checkpoints())?;
            let text = serde_json::to_vec(begun).map_err(|cause| LabError::BadResult { path: path.clone(), cause })?;
            fs::write(&path, text).map_err(LabError::io("write", &path))?;
        }
        remove_dir(&store.files())?;
        fs::create_dir(store.files()).map_err(LabError::io("create the folder", store.files()))?;
        Ok(store)
    }

    /// Where the files will be in the end.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether an earlier attempt left checkpoints here.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Where the files are until the run has succeeded.
    pub(crate) fn files(&self) -> PathBuf {
        self.partial.join("files")
    }

    /// A folder for partial state.
    pub(crate) fn checkpoint(&self, name: &str) -> Result<PathBuf, LabError> {
        let dir = self.checkpoints().join(name);
        fs::create_dir_all(&dir).map_err(LabError::io("create the folder", &dir))?;
        Ok(dir)
    }

    /// Puts the files in their final place, whose earlier content goes away.
    pub(crate) fn commit(self) -> Result<(), LabError> {
        let old = self.partial.join("replaced");
        remove_dir(&old)?;
        let had = self.dir.exists();
        if had {
            fs::rename(&self.dir, &old).map_err(LabError::io("replace", &self.dir))?;
        }
        if let Err(cause) = fs::rename(self.files(), &self.dir) {
            if had {
                fs::rename(&old, &self.dir).map_err(LabError::io("put back", &self.dir))?;
            }
            return Err(LabError::Io { doing: "create the folder", path: self.dir, cause });
        }
        drop(self.lock);
        remove_dir(&self.partial)
    }

    /// Removes what a failed run wrote, but for checkpoints; returns whether there are any.
    pub(crate) fn abandon(self) -> Result<bool, LabError> {
        remove_dir(&self.files())?;
        let keep = has_checkpoints(&self.partial);
        if !keep {
            drop(self.lock);
            remove_dir(&self.partial)?;
        }
        Ok(keep)
    }

    fn checkpoints(&self) -> PathBuf {
        self.partial.join("checkpoints")
    }
}

fn has_checkpoints(partial: &Path) -> bool {
    fs::read_dir(partial.join("checkpoints")).is_ok_and(|mut entries| entries.next().is_some())
}

/// `path` with `suffix` after its last name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn remove_dir(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(LabError::Io { doing: "remove", path: path.into(), cause }),
        _ => Ok(()),
    }
}

/// A file name that stays inside its folder on every system.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
    let why = if name.is_empty() || name.starts_with('.') {
        "a name begins with a letter or digit"
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        "use letters, digits, '-', '_' and '.' only"
    } else {
        return Ok(());
    };
    Err(LabError::FileName { name: name.into(), why })
}
