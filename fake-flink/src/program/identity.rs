//! Operator ids as Flink makes them: from the uid where there is one, else from the place in the graph.
//!
//! `StreamGraphHasherV2`: murmur3 (128 bit, seed 0) of the uid, or of the running number, once for the operator and
//! once per chained edge behind it, folded with the ids of its inputs. A vertex carries the id of its head operator.
//! Recorded: uid `stateful` is `2bf2326fd66dcbd2442fd50df173e152`; the first source of a job without uids, chained
//! to something, is the well-known `cbc357ccb763df2852fee8c4fc7d55f2`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

type Hash = [u8; 16];

/// One vertex as the hasher sees it: a chain of operators, of which only the head may carry a uid.
pub struct Chain<'a> {
    pub uid: Option<&'a str>,
    pub operators: usize,
    pub inputs: Vec<usize>,
}

/// The id of each chain's head, as 32 hex digits. Operators are numbered breadth first, all sources before the rest.
pub fn vertex_ids(chains: &[Chain]) -> Vec<String> {
    let sources = (0..chains.len()).filter(|at| chains[*at].inputs.is_empty()).map(|at| (at, 0));
    let mut open: VecDeque<Operator> = sources.collect();
    let mut seen: BTreeSet<Operator> = open.iter().copied().collect();
    let mut hashes = BTreeMap::new();
    while let Some(at) = open.pop_front() {
        if let Some(hash) = hash_of(chains, at, &hashes) {
            hashes.insert(at, hash);
            open.extend(outputs(chains, at).filter(|next| seen.insert(*next)));
        } else {
            // An input is still missing; whoever hashes that one comes by again.
            seen.remove(&at);
        }
    }
    let id = |at: usize| hashes.get(&(at, 0)).map_or_else(|| of_uid(&format!("unreached {at}")), hex);
    (0..chains.len()).map(id).collect()
}

/// A chain and the place in it.
type Operator = (usize, usize);

/// `None` while an input has no hash.
fn hash_of(chains: &[Chain], (at, place): Operator, hashes: &BTreeMap<Operator, Hash>) -> Option<Hash> {
    let chain = &chains[at];
    let inputs: Option<Vec<&Hash>> = match place {
        0 => chain.inputs.iter().map(|i| hashes.get(&(*i, last(chains.get(*i)?)))).collect(),
        _ => hashes.get(&(at, place - 1)).map(|hash| vec![hash]),
    };
    let inputs = inputs?;
    if let Some(uid) = chain.uid.filter(|_| place == 0) {
        return Some(uid_hash(uid));
    }
    let chained = usize::from(place < last(chain));
    let mut hash = murmur3_128(&(hashes.len() as u32).to_le_bytes().repeat(1 + chained));
    for input in inputs {
        for (byte, other) in hash.iter_mut().zip(input) {
            *byte = byte.wrapping_mul(37) ^ other;
        }
    }
    Some(hash)
}

fn outputs(chains: &[Chain], (at, place): Operator) -> impl Iterator<Item = Operator> {
    let next = (place < last(&chains[at])).then_some((at, place + 1));
    let behind = (0..chains.len()).filter(move |i| next.is_none() && chains[*i].inputs.contains(&at));
    next.into_iter().chain(behind.map(|i| (i, 0)))
}

fn last(chain: &Chain) -> usize {
    chain.operators.max(1) - 1
}

fn uid_hash(uid: &str) -> Hash {
    murmur3_128(uid.as_bytes())
}

/// The id of an operator with this uid.
pub fn of_uid(uid: &str) -> String {
    hex(&uid_hash(uid))
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn murmur3_128(data: &[u8]) -> Hash {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let halves = |block: &[u8]| {
        let mut bytes = [0; 16];
        bytes[..block.len()].copy_from_slice(block);
        let word = u128::from_le_bytes(bytes);
        (word as u64, (word >> 64) as u64)
    };
    let (mut h1, mut h2) = (0u64, 0u64);
    let blocks = data.chunks_exact(16);
    let (k1, k2) = halves(blocks.remainder());
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 = (h1 ^ mix1(k1)).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(k2)).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    h1 ^= mix1(k1) ^ data.len() as u64;
    h2 ^= mix2(k2) ^ data.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (u128::from(h1) | u128::from(h2) << 64).to_le_bytes()
}

fn finish(k: u64) -> u64 {
    let k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_give_the_recorded_ids() {
        assert_eq!(of_uid("stateful"), "2bf2326fd66dcbd2442fd50df173e152");
        assert_eq!(of_uid("numbers"), "ca88eee0095684d687a1b6495617f957");
    }

    #[test]
    fn places_give_the_ids_known_from_every_dashboard() {
        let chain = |operators, inputs: &[usize]| Chain { uid: None, operators, inputs: inputs.to_vec() };
        assert_eq!(
            vertex_ids(&[chain(1, &[]), chain(2, &[0])]),
            ["bc764cd8ddf7a0cff126f51c16239658", "20ba6b65f97481d5570070de90e4e791"]
        );
        assert_eq!(vertex_ids(&[chain(2, &[])]), ["cbc357ccb763df2852fee8c4fc7d55f2"]);
    }

    #[test]
    fn every_vertex_gets_its_own() {
        let chain = |inputs: &[usize]| Chain { uid: None, operators: 2, inputs: inputs.to_vec() };
        let mut ids = vertex_ids(&[chain(&[]), chain(&[]), chain(&[0, 1]), chain(&[2]), chain(&[0, 3])]);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }
}
