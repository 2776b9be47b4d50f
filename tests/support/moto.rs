//! moto, a server of S3 from Python's package index.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use crate::tools;

/// A server of S3 with a bucket `studies`, which ends with the value.
pub(crate) struct Moto {
    child: Child,
    pub(crate) address: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        const SERVER: &str = "\
import sys, boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer('127.0.0.1', 0)
server.start()
host, port = server.get_host_and_port()
client = boto3.client('s3', endpoint_url=f'http://{host}:{port}', region_name='us-east-1',
    aws_access_key_id='k', aws_secret_access_key='s')
client.create_bucket(Bucket='studies')
print(f'ready {host}:{port}', flush=True)
sys.stdin.read()
";
        let mut child = tools::python()
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = said.find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
        Self { child, address: address.expect("moto starts") }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
