//! How TaskManager processes reach their JobManager: one line of JSON on a connection that stays. It stands where Flink's
//! RPC is (port 6123) and has nothing in common with it; the end of the connection is the loss of the TaskManager.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::hosted::{Door, Hosted};
use crate::model::api::Event;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskManager {
    pub id: String,
    pub slots: u32,
}

const LINE_MAX: u64 = 4096;
const REGISTERED: &[u8] = b"registered\n";
/// A connection that says nothing is none.
const GREETING_MAX: Duration = Duration::from_secs(10);
const TASK_MANAGERS_MAX: usize = 10_000;

/// Takes TaskManagers until dropped.
pub async fn accept(listener: TcpListener, hosted: Hosted) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if connections.len() < TASK_MANAGERS_MAX => {
                connections.spawn(attend(stream, hosted.clone()));
            }
            // Too many, or out of descriptors.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn attend(stream: TcpStream, hosted: Hosted) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut greeting = (&mut stream).take(LINE_MAX);
    let read = tokio::time::timeout(GREETING_MAX, greeting.read_line(&mut line)).await;
    let Ok(task_manager) = serde_json::from_str::<TaskManager>(&line) else { return };
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let mut door = hosted.door();
    // It waits for its JobManager to be up, as it would try again.
    if door
        .wait_for(|door| matches!(door, Door::Open | Door::Gone))
        .await
        .is_ok_and(|door| *door == Door::Gone)
    {
        return;
    }
    let id = task_manager.id.clone();
    hosted.tell(Event::TaskManagerUp { id: task_manager.id, slots: task_manager.slots });
    let mut byte = [0];
    // Nothing more is said: this ends with the connection.
    if stream.get_mut().write_all(REGISTERED).await.is_ok() {
        let _ = stream.read(&mut byte).await;
    }
    hosted.tell(Event::TaskManagerLost { id });
}

/// Registers and stays; returns when the JobManager is gone.
///
/// # Errors
/// It cannot be reached, or does not take it.
pub async fn register(address: &str, task_manager: &TaskManager) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut line = serde_json::to_vec(task_manager)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = vec![0; REGISTERED.len()];
    stream.read_exact(&mut answer).await?;
    let mut byte = [0];
    // Whatever ends the connection ends the registration.
    let _ = stream.read(&mut byte).await;
    Ok(())
}
