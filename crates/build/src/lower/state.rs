//! What a stage has come to: root filesystem, environment, configuration, history.

use model::image::{History, ImageConfig, Platform, ProcessDefaults, RootFs};

use crate::graph::{HistoryEntry, VertexId};

/// The search path of images that set none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The remark that BuildKit leaves in the history; tools look for it.
const COMMENT: &str = "buildkit.dockerfile.v0";

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) root: Option<VertexId>,
    pub(super) process: ProcessDefaults,
    pub(super) author: Option<String>,
    pub(super) architecture: String,
    pub(super) os: String,
    pub(super) variant: Option<String>,
    /// Environment of steps: the image's, `ENV` and `ARG` in the order met.
    pub(super) env: Vec<(String, String)>,
    /// Declared build arguments, for the history.
    pub(super) args: Vec<(String, Option<String>)>,
    pub(super) base_rootfs: RootFs,
    pub(super) base_history: Vec<History>,
    pub(super) history: Vec<HistoryEntry>,
    /// `CMD` was met in this stage, so `ENTRYPOINT` leaves it alone.
    pub(super) cmd_set: bool,
}

impl State {
    /// `FROM scratch`
    pub(super) fn empty(platform: &Platform) -> Self {
        Self {
            root: None,
            process: ProcessDefaults {
                env: vec![format!("PATH={DEFAULT_PATH}")],
                working_dir: "/".to_owned(),
                ..ProcessDefaults::default()
            },
            author: None,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            env: vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())],
            args: Vec::new(),
            base_rootfs: RootFs::default(),
            base_history: Vec::new(),
            history: Vec::new(),
            cmd_set: false,
        }
    }

    /// `FROM image`
    pub(super) fn on_image(root: VertexId, config: &ImageConfig) -> Self {
        let mut process = config.config.clone().unwrap_or_default();
        process.on_build.clear();
        let split = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text.clone(), String::new()),
        };
        let mut env: Vec<(String, String)> = process.env.iter().map(split).collect();
        if !env.iter().any(|(name, _)| name == "PATH") {
            env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
            process.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        if process.working_dir.is_empty() {
            process.working_dir = "/".to_owned();
        }
        Self {
            root: Some(root),
            process,
            author: config.author.clone(),
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            variant: config.variant.clone(),
            env,
            args: Vec::new(),
            base_rootfs: config.rootfs.clone(),
            base_history: config.history.clone(),
            history: Vec::new(),
            cmd_set: false,
        }
    }

    /// `FROM stage`: environment and arguments go on, triggers don't.
    pub(super) fn inherited(&self) -> Self {
        let mut state = self.clone();
        state.process.on_build.clear();
        state.cmd_set = false;
        state
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }

    /// `ENV`: for steps and for the image.
    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        self.set_variable(name, value);
        let entry = format!("{name}={value}");
        let same = |old: &&mut String| old.split('=').next() == Some(name);
        match self.process.env.iter_mut().find(same) {
            Some(old) => *old = entry,
            None => self.process.env.push(entry),
        }
    }

    /// Adds a line to the history; with a vertex it is that of a layer.
    pub(super) fn record(&mut self, created_by: String, vertex: Option<VertexId>) {
        self.history.push(HistoryEntry {
            entry: History {
                created: None,
                created_by: Some(created_by),
                author: None,
                comment: Some(COMMENT.to_owned()),
                empty_layer: vertex.is_none(),
            },
            vertex,
        });
    }

    /// `path` as seen from the working directory, cleaned; a trailing slash stays.
    pub(super) fn absolute(&self, path: &str) -> String {
        let joined = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.process.working_dir),
        };
        let folder = path.is_empty() || path.ends_with('/') || path == "." || path.ends_with("/.");
        let clean = clean(&joined);
        if folder && clean != "/" { format!("{clean}/") } else { clean }
    }
}

/// An absolute path without `.`, `..` and doubled slashes.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
