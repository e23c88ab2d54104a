"""Wire formats: bytes to named arrays and back; and the documents that protocols have beside inference.

codecs      `codec` is the interface; `tfserving` (KServe V1 too), `open_inference` (with `_header` and `_parameters`)
            and `generate` are one each
tensors     `json_quick` and `json_exact` read JSON, `json_answers` writes it, `binary_tensors` does both with bytes;
            `shared_memory` is where else they may lie, `classification` what else an output may become
documents   `tfserving_status`, `open_inference_metadata`, and `triton_*` for Triton's extensions
words       `tfserving_versions` says what a version means in a URL, `quoting` how messages quote
"""
