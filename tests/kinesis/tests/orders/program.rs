//! The built program: what it prints, what it writes, how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kinesis-endpoint");

/// Ends the program if the test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_when_asked() {
    for signal in ["-TERM", "-INT"] {
        let port_file =
            std::env::temp_dir().join(format!("kinesis-endpoint{signal}-{}.port", std::process::id()));
        let mut child = Command::new(PROGRAM);
        child.args(["--create-stream", "a:2", "--create-stream", "b:1", "--port-file"]).arg(&port_file);
        let mut running = Running(child.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on http://127.0.0.1:").unwrap().to_owned();
        assert_eq!(std::fs::read_to_string(&port_file).unwrap().trim(), port);
        std::fs::remove_file(&port_file).unwrap();
        assert!(tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.is_ok());
        let asked = Command::new("kill").args([signal, &running.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
        assert!(running.0.wait().unwrap().success(), "{signal}");
    }
}

#[tokio::test]
async fn it_refuses_what_it_cannot_do() {
    for arguments in [["--listen", "0.0.0.0:0"], ["--create-stream", "no-count"], ["--create-stream", "s:0"]]
    {
        // Bounded and ended with the test: a program that does not refuse would serve for ever.
        let output = tokio::process::Command::new(PROGRAM).args(arguments).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(10), output).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} is not refused")).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
