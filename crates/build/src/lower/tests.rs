//! Instructions become the graph that their words ask for.

use model::image::{Empty, ProcessDefaults};

use super::lower;
use crate::{
    Graph, Request,
    fake::Fake,
    graph::{CopySource, MountKind, Op, Origin},
    request::NamedContext,
};

async fn lowered(request: &Request) -> Result<Graph, String> {
    let worker = Fake::new().with_image(
        "onbuild",
        ProcessDefaults {
            env: vec!["FROM_IMAGE=1".to_owned()],
            cmd: Some(vec!["old".to_owned()]),
            on_build: vec![
                "RUN trigger $FROM_IMAGE".to_owned(),
                "COPY --from=tools /a /b".to_owned(),
            ],
            ..ProcessDefaults::default()
        },
    );
    lower(request, &worker).await.map_err(|error| error.text())
}

async fn graph(text: &str) -> Graph {
    lowered(&Request::new(text)).await.unwrap()
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.vertices.iter().map(|vertex| vertex.name.as_str()).collect()
}

fn created_by(graph: &Graph) -> Vec<&str> {
    graph.history.iter().filter_map(|line| line.entry.created_by.as_deref()).collect()
}

#[tokio::test]
async fn instructions_change_the_configuration() {
    let graph = graph(
        "FROM busybox\nARG V=1\nENV A=$V B=\"two words\"\nLABEL l=${A:-x}\nUSER 1:2\nWORKDIR /w\nWORKDIR sub\n\
         EXPOSE 80 90-91/udp\nVOLUME [\"/data\"]\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=1m CMD true\n\
         SHELL [\"/bin/ash\", \"-c\"]\nCMD echo $A\nENTRYPOINT [\"/e\"]\nMAINTAINER me\nONBUILD RUN x\n",
    )
    .await;
    let process = graph.config.config.clone().unwrap();
    assert_eq!(process.env.last().unwrap(), "B=two words");
    assert_eq!(process.env[1], "A=1");
    assert_eq!(process.labels["l"], "1");
    assert_eq!(process.user, "1:2");
    assert_eq!(process.working_dir, "/w/sub");
    assert_eq!(process.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "90/udp", "91/udp"]);
    assert_eq!(process.volumes.get("/data"), Some(&Empty {}));
    assert_eq!(process.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(process.healthcheck.unwrap().interval, 60_000_000_000);
    assert_eq!(process.cmd.unwrap(), ["/bin/ash", "-c", "echo $A"]);
    assert_eq!(process.entrypoint.unwrap(), ["/e"]);
    assert_eq!(process.on_build, ["RUN x"]);
    assert_eq!(graph.config.author.as_deref(), Some("me"));
    assert_eq!(graph.config.created.as_deref(), Some("2024-01-02T03:04:05Z"));
    assert_eq!(
        created_by(&graph),
        [
            "ARG V=1",
            "ENV A=1 B=two words",
            "LABEL l=1",
            "USER 1:2",
            "WORKDIR /w",
            "WORKDIR /w/sub",
            "EXPOSE map[80/tcp:{} 90/udp:{} 91/udp:{}]",
            "VOLUME [/data]",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "SHELL [/bin/ash -c]",
            "CMD [\"/bin/ash\" \"-c\" \"echo $A\"]",
            "ENTRYPOINT [\"/e\"]",
            "MAINTAINER me",
        ]
    );
}

#[tokio::test]
async fn an_entrypoint_resets_the_base_images_command() {
    let request = |text: &str| Request::new(format!("FROM busybox AS tools\nFROM onbuild\n{text}"));
    let process = |graph: Graph| graph.config.config.unwrap();
    let kept = process(lowered(&request("ENV a=b")).await.unwrap());
    assert_eq!(kept.cmd.as_deref(), Some(&["old".to_owned()][..]));
    let reset = process(lowered(&request("ENTRYPOINT [\"/e\"]")).await.unwrap());
    assert_eq!(reset.cmd, None);
    let both = process(lowered(&request("CMD [\"c\"]\nENTRYPOINT [\"/e\"]")).await.unwrap());
    assert_eq!(both.cmd.unwrap(), ["c"]);
}

#[tokio::test]
async fn only_what_the_target_needs_is_there() {
    let text = "FROM busybox AS a\nRUN a\nFROM busybox AS unused\nRUN u\nFROM a AS b\nCOPY --from=0 /x /y\nFROM scratch AS last\nRUN z\n";
    let mut request = Request::new(text);
    request.target = Some("b".to_owned());
    let graph = lowered(&request).await.unwrap();
    assert_eq!(
        names(&graph),
        ["[a 1/2] FROM busybox", "[a 2/2] RUN a", "[b 1/1] COPY --from=0 /x /y"]
    );
    request.target = Some("3".to_owned());
    assert_eq!(names(&lowered(&request).await.unwrap()), ["[last 1/1] RUN z"]);
    request.target = Some("bb".to_owned());
    assert_eq!(
        lowered(&request).await.unwrap_err(),
        "target stage \"bb\" could not be found (did you mean b?)"
    );
}

#[tokio::test]
async fn triggers_run_first_and_may_need_stages() {
    let text = "FROM busybox AS tools\nRUN t\nFROM onbuild\nRUN own\n";
    let graph = graph(text).await;
    assert_eq!(
        names(&graph),
        [
            "[tools 1/2] FROM busybox",
            "[tools 2/2] RUN t",
            "[stage-1 1/4] FROM onbuild",
            "[stage-1 2/4] RUN trigger $FROM_IMAGE",
            "[stage-1 3/4] COPY --from=tools /a /b",
            "[stage-1 4/4] RUN own",
        ]
    );
    assert!(graph.config.config.unwrap().on_build.is_empty());
}

#[tokio::test]
async fn arguments_have_scopes() {
    let text = "ARG TAG=busybox\nARG OTHER=o\nFROM $TAG\nRUN echo $OTHER\nARG OTHER\nARG TARGETARCH\nARG GIVEN=default\nRUN echo\n";
    let mut request = Request::new(text);
    request.build_args.insert("GIVEN".to_owned(), "given".to_owned());
    request.build_args.insert("http_proxy".to_owned(), "http://secret@p".to_owned());
    let graph = lowered(&request).await.unwrap();
    let env = |at: usize| match &graph.vertices[at].op {
        Op::Run(run) => run.clone(),
        other => panic!("{other:?}"),
    };
    let has = |at: usize, entry: &str| env(at).env.iter().any(|e| e == entry);
    assert!(!env(1).env.iter().any(|entry| entry.starts_with("OTHER")));
    assert!(has(2, "OTHER=o") && has(2, "GIVEN=given"));
    assert!(env(2).env.iter().any(|entry| entry.starts_with("TARGETARCH=")));
    assert!(env(1).proxy_env.contains(&"HTTP_PROXY=http://secret@p".to_owned()));
    let history = created_by(&graph).join("\n");
    assert!(!history.contains("secret"), "{history}");
    assert!(history.contains("RUN |3 OTHER=o TARGETARCH="), "{history}");
    assert!(!graph.config.config.unwrap().env.iter().any(|entry| entry.starts_with("GIVEN")));
}

#[tokio::test]
async fn copies_have_absolute_destinations() {
    let text = "FROM busybox\nWORKDIR /w\nCOPY a b\nCOPY a ./\nCOPY a /x/../y/\nADD http://h/f.txt git@h:r.git#main local.tar /d/\nCOPY <<E /f\nhello $PATH\nE\n";
    let graph = graph(text).await;
    let copy = |at: usize| match &graph.vertices[at].op {
        Op::Copy(copy) => copy.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(copy(2).destination, "/w/b");
    assert_eq!(copy(3).destination, "/w/");
    assert_eq!(copy(4).destination, "/y/");
    let kinds = copy(5).sources;
    assert!(matches!(&kinds[0], CopySource::Url { unpack: false, .. }));
    assert!(matches!(&kinds[1], CopySource::Git { .. }));
    assert!(matches!(&kinds[2], CopySource::Files { unpack: true, .. }));
    let CopySource::Inline { name, content } = &copy(6).sources[0] else { panic!() };
    assert_eq!(name, "E");
    assert_eq!(content, "hello /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    assert!(created_by(&graph).contains(&"COPY a /w/b # buildkit"));
}

#[tokio::test]
async fn mounts_have_targets_and_origins() {
    let text = "FROM busybox AS s\nRUN x\nFROM busybox\nWORKDIR /w\nRUN --mount=target=src --mount=from=s,target=/t,source=/u \
        --mount=type=cache,target=/c --mount=type=secret,id=k --mount=type=secret,id=k,env=K true\nRUN <<E\n#!/bin/sh\necho\nE\n";
    let graph = graph(text).await;
    let Op::Run(run) = &graph.vertices[3].op else { panic!("{:?}", graph.vertices[3]) };
    let targets: Vec<&str> = run.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/w/src", "/t", "/c", "/run/secrets/k", ""]);
    assert!(
        matches!(&run.mounts[1].kind, MountKind::Bind { from: Origin::Vertex(1), source } if source == "/u")
    );
    assert!(matches!(&run.mounts[2].kind, MountKind::Cache { id, .. } if id == "/c"));
    let Op::Run(run) = &graph.vertices[4].op else { panic!() };
    assert_eq!(run.command, ["/dev/pipes/E"]);
    assert!(
        matches!(&run.mounts[0].kind, MountKind::Inline { content } if content == "#!/bin/sh\necho\n")
    );
}

#[tokio::test]
async fn named_contexts_take_the_place_of_images_and_stages() {
    let mut request = Request::new("FROM base\nCOPY --from=files a /b\n");
    request.contexts.insert("base".to_owned(), NamedContext::Image("busybox".to_owned()));
    request.contexts.insert("files".to_owned(), NamedContext::Tree("files".to_owned()));
    let graph = lowered(&request).await.unwrap();
    assert_eq!(names(&graph), ["[1/2] FROM busybox", "[2/2] COPY --from=files a /b"]);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    for (text, part) in [
        ("RUN x", "no build stage in current context"),
        ("ARG x=1", "dockerfile contains no stages"),
        ("FROM $NONE", "base name ($NONE) should not be blank"),
        ("FROM nothing", "nothing: not found"),
        ("FROM busybox\nCOPY a b c", "must be a directory and end with a /"),
        ("FROM busybox\nSTOPSIGNAL SIGNONE", "invalid signal: SIGNONE"),
        ("FROM busybox\nEXPOSE 70000", "invalid containerPort: 70000"),
        ("FROM busybox\nRUN --security=insecure x", "security.insecure is not allowed"),
        ("FROM busybox\nRUN --network=host x", "network.host is not allowed"),
        ("FROM busybox\nRUN --mount=target=/,type=tmpfs x", "invalid mount target"),
        ("FROM busybox\nCOPY --chmod=9 a b", "invalid chmod parameter"),
        ("FROM busybox\nHEALTHCHECK --interval=1 CMD x", "invalid duration"),
        ("FROM busybox\nENV a=${b?needed}", "b: needed"),
        ("FROM busybox\nRNU x", "did you mean RUN"),
    ] {
        let error = lowered(&Request::new(text)).await.unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let later = "FROM busybox\nCOPY --from=later a b\nFROM busybox AS later\n";
    let mut request = Request::new(later);
    request.target = Some("0".to_owned());
    let error = lowered(&request).await.unwrap_err();
    assert!(error.contains("needs to be defined before current stage"), "{error}");
}
