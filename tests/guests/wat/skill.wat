;; What the guests beside this file share: the fields of a core module that describes itself, takes any settings, and has
;; room for what it is told. A guest adds its memory and its hook.

;; Zeros from 0 to 1023 are any result that is good and says nothing: `ok` of `configure`, `pass` of a hook.
(func (export "pointsman:skill/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 0))

(func (export "pointsman:skill/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))

;; The manifest: name, version, description, priority 100; no schema, not reusable, nothing else.
(data (i32.const 1024)
  "\80\04\00\00\05\00\00\00" "\90\04\00\00\05\00\00\00" "\a0\04\00\00\0d\00\00\00" "\64\00\00\00")
(data (i32.const 1152) "guest")
(data (i32.const 1168) "1.0.0")
(data (i32.const 1184) "A test guest.")

;; Never frees: an instance that is not reusable has one call.
(global $heap (mut i32) (i32.const 4096))
(func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
  (local $at i32)
  (local.set $at
    (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
  (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
  (local.get $at))
