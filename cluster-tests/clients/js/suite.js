// Callboard as kafkajs sees it: records in and out, groups whose members come and go, what an operator asks for.
//
// Usage: node suite.js BOOTSTRAP (NODE_PATH names where the packages are). One line a check; the exit code says
// whether all held.
'use strict'

const crypto = require('node:crypto')
const assert = require('node:assert/strict')
const kafkajs = require('kafkajs')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32.js')
const snappy = require('kafkajs-snappy')
const zstd = require('@bokuweb/zstd-wasm')

const { CompressionTypes, ConfigResourceTypes, ConfigSource, Kafka, logLevel } = kafkajs
const BOOTSTRAP = process.argv[2]
// A guard against a hang, not a measure.
const LIMIT = 60_000
// An hour ago: brokers forget records by the age of their timestamps.
const START = Date.now() - 3_600_000
const PARTITIONS = 6
const TYPES = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

// kafkajs brings gzip only; users plug in the others like this.
kafkajs.CompressionCodecs[CompressionTypes.Snappy] = snappy
kafkajs.CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4Frame(encoder.buffer),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
kafkajs.CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})

// An LZ4 frame of independent blocks, the only kind that Kafka reads (lz4js's own frames are of linked ones).
function lz4Frame(buffer) {
  const descriptor = Buffer.from([0x60, 0x40])
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, ...descriptor, (xxh32.hash(0, descriptor, 0, 2) >> 8) & 0xff])
  const parts = [head]
  const length = (bytes, flag) => {
    const word = Buffer.alloc(4)
    word.writeUInt32LE((bytes | flag) >>> 0)
    return word
  }
  for (let at = 0; at < buffer.length; at += 65_536) {
    const block = buffer.subarray(at, at + 65_536)
    const room = Buffer.alloc(lz4.compressBound(block.length))
    const size = lz4.compressBlock(block, room, 0, block.length, new Uint32Array(65_536))
    const smaller = size > 0 && size < block.length
    parts.push(...(smaller ? [length(size, 0), room.subarray(0, size)] : [length(block.length, 0x80000000), block]))
  }
  return Buffer.concat([...parts, length(0, 0)])
}

const kafka = new Kafka({
  brokers: [BOOTSTRAP],
  clientId: 'callboard-suite',
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 10 },
})
// Topics are made with this one. Each check has another of its own: what they ask for mixes up inside one client.
const maker = kafka.admin()

const name = () => `js-${crypto.randomBytes(6).toString('hex')}`

async function topic(partitions = 1) {
  const made = name()
  assert.equal(await maker.createTopics({ topics: [{ topic: made, numPartitions: partitions, replicationFactor: 1 }] }), true)
  return made
}

// Asks until it is so.
async function until(what, so) {
  for (const end = Date.now() + LIMIT; !(await so()); await new Promise(done => setTimeout(done, 5))) {
    if (Date.now() > end) throw new Error(`still not: ${what()}`)
  }
}

// The call must fail with this error type of the protocol. (kafkajs tries some again: the limit is on the client.)
async function fails(type, call, what) {
  try {
    await call
  } catch (error) {
    const inner = error.errors ? error.errors[0] : error.groups ? error.groups[0].error : error
    const found = [error, error.cause, inner].filter(Boolean).map(one => one.type ?? one.name)
    assert.ok(found.includes(type), `${what}: got ${error} ${found}, wanted ${type}`)
    return
  }
  throw new Error(`${what} was let through`)
}

async function send(to, messages, config = {}, how = {}) {
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, ...config })
  await producer.connect()
  try {
    return await producer.send({ topic: to, messages, ...how })
  } finally {
    await producer.disconnect()
  }
}

// Records of all shapes: keys and values null, empty and filled; headers none, single, repeated.
function sample(count) {
  const keys = [null, Buffer.alloc(0), Buffer.from('key'), Buffer.alloc(40, 255)]
  const values = [Buffer.from('value'), null, Buffer.alloc(0), Buffer.alloc(3000, 'x')]
  const headers = [{}, { one: '1' }, { twice: ['first', 'second', 'first'], other: 'x' }, { 'ünïcode': '\0' }]
  return Array.from({ length: count }, (_, n) => ({
    partition: 0,
    key: keys[n % 4],
    value: values[(n % 3) + (n % 2)],
    headers: headers[n % 4],
    timestamp: String(START + n * 10),
  }))
}

function plain(headers) {
  const texts = one => (Array.isArray(one) ? one.map(String) : String(one))
  return Object.fromEntries(Object.entries(headers ?? {}).map(([key, value]) => [key, texts(value)]))
}

function compare(got, wanted, first = 0) {
  assert.equal(got.length, wanted.length, 'number of records')
  got.forEach((message, n) => {
    const at = `record ${first + n}`
    assert.equal(message.offset, String(first + n), at)
    assert.deepEqual(message.key, wanted[n].key, `${at}, key`)
    assert.deepEqual(message.value, wanted[n].value, `${at}, value`)
    assert.equal(message.timestamp, wanted[n].timestamp, `${at}, timestamp`)
    assert.deepEqual(plain(message.headers), plain(wanted[n].headers), `${at}, headers`)
  })
}

// Reads partition 0 until so many records have come; from the beginning or from an offset.
async function consume(from, count, offset) {
  const consumer = kafka.consumer({ groupId: name(), maxWaitTimeInMs: 50, heartbeatInterval: 500 })
  const got = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic: from, fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => void got.push(message) })
    if (offset !== undefined) consumer.seek({ topic: from, partition: 0, offset: String(offset) })
    await until(() => `${count} records of ${from}; ${got.length}`, () => got.length >= count)
  } finally {
    await consumer.disconnect()
  }
  return got
}

async function codecs() {
  await Promise.all(Object.entries(TYPES).map(async ([codec, type]) => {
    const to = await topic()
    const records = sample(200)
    const config = codec === 'none' ? { idempotent: true, maxInFlightRequests: 1 } : {}
    await send(to, records, config, { compression: CompressionTypes[type] })
    compare(await consume(to, 200), records)
    // Whether it was compressed is for the caller to see.
    console.log(`codec ${to} ${codec}`)
  }))
}

async function largeRecords() {
  await Promise.all(Object.values(TYPES).map(async type => {
    const to = await topic()
    for (let n = 0; n < 3; n++) {
      const value = crypto.createHash('shake256', { outputLength: 900_000 }).update(`${n}`).digest()
      await send(to, [{ partition: 0, key: `${n}`, value }], {}, { compression: CompressionTypes[type] })
    }
    const got = await consume(to, 3)
    got.forEach((message, n) => {
      const value = crypto.createHash('shake256', { outputLength: 900_000 }).update(`${n}`).digest()
      assert.ok(message.value.equals(value), `value ${n}`)
    })
  }))
}

async function positions(admin) {
  const to = await topic()
  const records = sample(300)
  await send(to, records)
  compare((await consume(to, 300)).slice(0, 300), records)
  const asked = [[1230, 123], [1231, 124], [-5, 0], [2990, 299]]
  for (const [ms, offset] of asked) {
    const found = await admin.fetchTopicOffsetsByTimestamp(to, START + ms)
    assert.equal(found[0].offset, String(offset), `offset for ${ms} ms`)
  }
  const past = await admin.fetchTopicOffsetsByTimestamp(to, START + 3_000)
  assert.equal(past[0].offset, '300', 'past the last: the end')
  compare(await consumeFrom(admin, to, 124, 176), records.slice(124), 124)
  const [ends] = await admin.fetchTopicOffsets(to)
  assert.deepEqual([ends.low, ends.high], ['0', '300'], 'low and high')
}

// A group that has committed begins there.
async function consumeFrom(admin, from, offset, count) {
  const groupId = name()
  await admin.setOffsets({ groupId, topic: from, partitions: [{ partition: 0, offset: String(offset) }] })
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, heartbeatInterval: 500 })
  const got = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic: from })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => void got.push(message) })
    await until(() => `${count} records of ${from}; ${got.length}`, () => got.length >= count)
  } finally {
    await consumer.disconnect()
  }
  return got
}

// One consumer of a group; what all of them have lies in `group`.
async function join(member, group) {
  const consumer = kafka.consumer({
    groupId: group.id, maxWaitTimeInMs: 50, heartbeatInterval: 200, sessionTimeout: 30_000, metadataMaxAge: 1_000,
  })
  const release = () => {
    for (const [partition, owner] of group.owners) if (owner === member) group.owners.delete(partition)
  }
  consumer.on(consumer.events.REBALANCING, release)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    // A join that follows another at once was not announced as a rebalance.
    release()
    for (const partition of payload.memberAssignment[group.topic] ?? []) {
      const before = group.owners.get(partition)
      if (before) group.faults.push(`${partition} was given to ${member} while ${before} had it`)
      group.owners.set(partition, member)
    }
  })
  await consumer.connect()
  await consumer.subscribe({ topic: group.topic, fromBeginning: true })
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ message }) => void group.seen.add(String(message.value)),
  })
  return async () => {
    await consumer.stop()
    release()
    await consumer.disconnect()
  }
}

function shares(group) {
  const found = {}
  for (const member of [...group.owners.values()].sort()) found[member] = (found[member] ?? 0) + 1
  return JSON.stringify(found)
}

async function comeAndGo(admin) {
  const group = { id: name(), topic: await topic(PARTITIONS), owners: new Map(), seen: new Set(), faults: [] }
  const have = wanted => until(() => `${JSON.stringify(wanted)}; ${shares(group)}`, () => shares(group) === JSON.stringify(wanted))
  const more = (from, to) =>
    send(group.topic, Array.from({ length: to - from }, (_, n) => ({ partition: n % PARTITIONS, value: `${from + n}` })))
  const all = async count => {
    await until(() => `${count} records; ${group.seen.size}`, () => group.seen.size >= count)
    assert.equal(group.seen.size, count, 'records seen')
    assert.deepEqual(group.faults, [], 'two owners at once')
  }
  await more(0, 300)
  const a = await join('a', group)
  await have({ a: 6 })
  const b = await join('b', group)
  await have({ a: 3, b: 3 })
  await more(300, 600)
  const c = await join('c', group)
  await have({ a: 2, b: 2, c: 2 })
  await more(600, 900)
  await all(900)
  const described = (await admin.describeGroups([group.id])).groups[0]
  assert.equal(described.state, 'Stable')
  assert.equal(described.members.length, 3)
  await b()
  await have({ a: 3, c: 3 })
  await more(900, 1200)
  await a()
  await have({ c: 6 })
  await more(1200, 1500)
  await all(1500)
  await c()
  const offsets = await admin.fetchOffsets({ groupId: group.id, topics: [group.topic] })
  const sum = offsets[0].partitions.reduce((total, one) => total + Number(one.offset), 0)
  assert.equal(sum, 1500, 'sum of committed offsets')
}

async function topics(admin) {
  const made = await topic(2)
  assert.ok((await admin.listTopics()).includes(made), 'listed')
  assert.equal(await admin.createTopics({ topics: [{ topic: made }] }), false, 'a second creation')
  await fails('INVALID_REPLICATION_FACTOR', admin.createTopics({ topics: [{ topic: name(), replicationFactor: 9 }] }), 'more replicas than nodes')
  const bad = { topic: name(), configEntries: [{ name: 'retention.ms', value: 'soon' }] }
  await fails('INVALID_CONFIG', admin.createTopics({ topics: [bad] }), 'a bad config value')
  await admin.createPartitions({ topicPartitions: [{ topic: made, count: 5 }] })
  await until(() => 'five partitions', async () => (await admin.fetchTopicMetadata({ topics: [made] })).topics[0].partitions.length === 5)
  await fails('INVALID_PARTITIONS', admin.createPartitions({ topicPartitions: [{ topic: made, count: 2 }] }), 'fewer partitions')
  await admin.deleteTopics({ topics: [made] })
  await fails('UNKNOWN_TOPIC_OR_PARTITION', admin.deleteTopics({ topics: [made] }), 'a second deletion')
  const cluster = await admin.describeCluster()
  assert.ok(cluster.brokers.some((broker) => broker.nodeId === cluster.controller), 'a controller among the brokers')
}

async function configs(admin) {
  const made = await topic()
  const resource = { type: ConfigResourceTypes.TOPIC, name: made }
  const shows = (config, value, source) => until(() => `${config}=${value}`, async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
    const entry = resources[0].configEntries.find(one => one.configName === config)
    return entry.configValue === value && entry.configSource === source
  })
  const alter = entries => admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: entries }] })
  await shows('retention.ms', '604800000', ConfigSource.DEFAULT_CONFIG)
  await alter([{ name: 'retention.ms', value: '7200000' }])
  await shows('retention.ms', '7200000', ConfigSource.TOPIC_CONFIG)
  // What is not named goes back to its default.
  await alter([{ name: 'max.message.bytes', value: '5000' }])
  await shows('max.message.bytes', '5000', ConfigSource.TOPIC_CONFIG)
  await shows('retention.ms', '604800000', ConfigSource.DEFAULT_CONFIG)
  await fails('INVALID_CONFIG', alter([{ name: 'retention.ms', value: 'soon' }]), 'a bad value')
}

async function records(admin) {
  const made = await topic()
  const all = sample(100)
  await send(made, all)
  // The client looks for the partition's leader among topics that it has been asked about before.
  await until(() => 'the end', async () => (await admin.fetchTopicOffsets(made))[0].high === '100')
  await admin.deleteTopicRecords({ topic: made, partitions: [{ partition: 0, offset: '40' }] })
  const [ends] = await admin.fetchTopicOffsets(made)
  assert.deepEqual([ends.low, ends.high], ['40', '100'], 'low and high')
  compare(await consume(made, 60), all.slice(40), 40)
}

async function groups(admin) {
  const made = await topic(2)
  const groupId = name()
  await send(made, [{ partition: 0, value: 'x' }, { partition: 1, value: 'y' }])
  const group = { id: groupId, topic: made, owners: new Map(), seen: new Set(), faults: [] }
  const leave = await join('a', group)
  await until(() => 'both records', () => group.seen.size === 2)
  const listed = (await admin.listGroups()).groups.find(one => one.groupId === groupId)
  assert.equal(listed.protocolType, 'consumer')
  await fails('NON_EMPTY_GROUP', admin.deleteGroups([groupId]), 'deletion of a live group')
  await leave()
  await admin.resetOffsets({ groupId, topic: made, earliest: true })
  await admin.setOffsets({ groupId, topic: made, partitions: [{ partition: 1, offset: '1' }] })
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [made] })
  assert.equal(offsets.partitions.find(one => one.partition === 1).offset, '1')
  await admin.deleteGroups([groupId])
  await fails('GROUP_ID_NOT_FOUND', admin.deleteGroups([groupId]), 'a second deletion')
}

async function run(check) {
  const admin = kafka.admin({ retry: { initialRetryTime: 50, retries: 4 } })
  await admin.connect()
  await check(admin)
  await admin.disconnect()
}

async function main() {
  await zstd.init()
  await maker.connect()
  console.log(`kafkajs ${require('kafkajs/package.json').version}, node ${process.version}`)
  const checks = { codecs, largeRecords, positions, comeAndGo, topics, configs, records, groups }
  const results = Object.values(checks).map(check => run(check).then(() => null, error => error))
  let failed = 0
  for (const [n, check] of Object.keys(checks).entries()) {
    const error = await results[n]
    failed += error ? 1 : 0
    console.log(error ? `FAILED  ${check}: ${error.stack}` : `ok      ${check}`)
  }
  console.log(`${results.length - failed} of ${results.length} held`)
  await maker.disconnect()
  process.exit(failed ? 1 : 0)
}

main()
