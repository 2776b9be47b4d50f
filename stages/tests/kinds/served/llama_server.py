"""The part of llama-server's command line that pipe uses, on the server of the package xllamacpp.

Keys and values are kept in f32, so that greedy answers can be compared with those of another program.
"""

import argparse
import signal
import sys
import threading

import xllamacpp

parser = argparse.ArgumentParser()
parser.add_argument("-m", required=True)
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--alias", required=True)
parser.add_argument("--lora", action="append", default=[])
parser.add_argument("--lora-init-without-apply", action="store_true")
parser.add_argument("--ctx-size", type=int, default=2048)
parser.add_argument("--threads", type=int, default=2)
given = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = given.m
params.hostnames = [given.host]
params.port = given.port
params.model_alias = {given.alias}
params.n_ctx = given.ctx_size
params.n_parallel = 1
params.cpuparams.n_threads = given.threads
params.endpoint_props = True
params.warmup = False
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in given.lora]
params.lora_init_without_apply = given.lora_init_without_apply
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Event().wait()
