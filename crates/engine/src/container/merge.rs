//! Docker's rules for what holds when both the image and the request say something.
//!
//! Pure: a request and an image's defaults give the specification that is stored.

use model::{
    container::{ContainerSpec, HealthCheck},
    image::ProcessDefaults,
    port::ContainerPort,
};

use crate::{Error, Result};

/// Completes `spec` with the defaults of its image.
///
/// - A replaced entrypoint drops the image's command too; an empty one (`--entrypoint ""`) drops both.
/// - Environment: the request wins per name; the image's order comes first.
/// - Labels and health check fields: the request wins per key or field.
///
/// # Errors
/// Nothing is left to run.
pub fn merge(spec: &mut ContainerSpec, image: &ProcessDefaults) -> Result<()> {
    command(spec, image)?;
    let process = &mut spec.process;
    process.env = environment(&image.env, &process.env);
    if process.working_dir.as_deref().unwrap_or("").is_empty() && !image.working_dir.is_empty() {
        process.working_dir = Some(image.working_dir.clone());
    }
    if process.user.as_deref().unwrap_or("").is_empty() && !image.user.is_empty() {
        process.user = Some(image.user.clone());
    }
    if process.stop_signal.is_none() {
        process.stop_signal.clone_from(&image.stop_signal);
    }
    if process.shell.is_none() {
        process.shell.clone_from(&image.shell);
    }
    for (key, value) in &image.labels {
        spec.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for text in image.exposed_ports.keys() {
        if let Ok(port) = text.parse::<ContainerPort>()
            && !spec.exposed_ports.contains(&port)
        {
            spec.exposed_ports.push(port);
        }
    }
    for path in image.volumes.keys() {
        if !spec.volumes.contains(path) {
            spec.volumes.push(path.clone());
        }
    }
    health(spec, image.healthcheck.as_ref());
    Ok(())
}

fn command(spec: &mut ContainerSpec, image: &ProcessDefaults) -> Result<()> {
    let process = &mut spec.process;
    if process.entrypoint.is_none() {
        if process.cmd.as_ref().is_none_or(Vec::is_empty) {
            process.cmd.clone_from(&image.cmd);
        }
        process.entrypoint.clone_from(&image.entrypoint);
    }
    // Clients write [""] to clear the image's entrypoint.
    if process.entrypoint.as_deref() == Some(&[String::new()]) {
        process.entrypoint = Some(Vec::new());
    }
    let words = process.entrypoint.iter().flatten().chain(process.cmd.iter().flatten()).count();
    if words == 0 {
        return Err(Error::Invalid("no command specified".to_owned()));
    }
    Ok(())
}

/// The image's variables, replaced or (for `NAME` alone) removed by the request's, then the rest.
pub fn environment(image: &[String], request: &[String]) -> Vec<String> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::with_capacity(image.len() + request.len());
    for entry in image {
        if !request.iter().any(|other| name(other) == name(entry)) {
            merged.push(entry.clone());
        }
    }
    for entry in request {
        match merged.iter().position(|other| name(other) == name(entry)) {
            Some(index) => merged[index].clone_from(entry),
            None => merged.push(entry.clone()),
        }
    }
    merged
}

fn health(spec: &mut ContainerSpec, image: Option<&HealthCheck>) {
    let Some(image) = image else { return };
    match &mut spec.healthcheck {
        None => spec.healthcheck = Some(image.clone()),
        Some(own) => {
            if own.test.is_empty() {
                own.test.clone_from(&image.test);
            }
            let fill = |own: &mut i64, image: i64| {
                if *own == 0 {
                    *own = image;
                }
            };
            fill(&mut own.interval, image.interval);
            fill(&mut own.timeout, image.timeout);
            fill(&mut own.start_period, image.start_period);
            fill(&mut own.start_interval, image.start_interval);
            fill(&mut own.retries, image.retries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    fn run(
        entrypoint: Option<Vec<String>>,
        cmd: Option<Vec<String>>,
        image_entrypoint: Option<Vec<String>>,
        image_cmd: Option<Vec<String>>,
    ) -> Result<Vec<String>> {
        let mut spec = ContainerSpec::default();
        spec.process.entrypoint = entrypoint;
        spec.process.cmd = cmd;
        let image = ProcessDefaults {
            entrypoint: image_entrypoint,
            cmd: image_cmd,
            ..ProcessDefaults::default()
        };
        merge(&mut spec, &image)?;
        let process = spec.process;
        Ok(process
            .entrypoint
            .into_iter()
            .flatten()
            .chain(process.cmd.into_iter().flatten())
            .collect())
    }

    #[test]
    fn entrypoint_and_command_rules() {
        let image = (words(&["/init"]), words(&["serve"]));
        let with = |entrypoint, cmd| run(entrypoint, cmd, image.0.clone(), image.1.clone());
        assert_eq!(with(None, None).unwrap(), ["/init", "serve"]);
        assert_eq!(with(None, words(&["x"])).unwrap(), ["/init", "x"]);
        assert_eq!(with(words(&["sh"]), None).unwrap(), ["sh"]);
        assert_eq!(with(words(&["sh"]), words(&["-c"])).unwrap(), ["sh", "-c"]);
        assert_eq!(with(words(&[""]), words(&["ls"])).unwrap(), ["ls"]);
        assert!(with(words(&[""]), None).is_err());
        assert!(run(None, None, None, None).is_err());
    }

    #[test]
    fn environment_is_merged_by_name() {
        let image = ["PATH=/bin".to_owned(), "A=1".to_owned()];
        let request = ["A=2".to_owned(), "B=3".to_owned(), "B=4".to_owned()];
        assert_eq!(environment(&image, &request), ["PATH=/bin", "A=2", "B=4"]);
    }
}
