"""The script that a user would write: the same models, one video and one frame at a time.

Every vendor's own front door, nothing shared between videos but the loaded models, no
stage left out: sound separated and transcribed as a whole, sounds tagged, one frame a
second through detector and CLIP, the same number of captions.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from reelscope.engines.registry import REGISTRY, UrlFile
from reelscope.engines.weights import WeightStore
from reelscope.settings import Settings
from reelscope.vision.vocabulary import load_vocabulary


class Naive:
    """Models loaded once, then `run` per video.

    Args:
        settings: whose thresholds and lengths are used.
        names: sets of weights by role.
        device: "cpu" or "cuda:0".
    """

    def __init__(self, settings: Settings, names: dict[str, str], device: str) -> None:
        self.device, self.settings, root = device, settings, settings.paths.models
        asked = settings.caption
        self.writing = {"num_beams": asked.beams, "max_new_tokens": asked.max_tokens}
        self.seconds: dict[str, float] = defaultdict(float)
        store = WeightStore(root)
        folders = {role: store.locate(name) for role, name in names.items()}
        self.whisper = self._whisper(folders["transcribe"])
        self.demucs = self._demucs(folders["separate"])
        self.ast = self._transformer("ASTForAudioClassification", folders["sounds"])
        self.ast_features = self._processor("ASTFeatureExtractor", folders["sounds"])
        self.blip = self._transformer("BlipForConditionalGeneration", folders["caption"])
        self.blip_features = self._processor("BlipProcessor", folders["caption"])
        self.clip, self.clip_prepare, self.clip_words = self._clip(names["embed"], folders["embed"])
        self.yolo = self._yolo(root, names["detect"], folders["detect"])

    # -------------------------------------------------------------------------- loading

    def _whisper(self, folder: Path) -> Any:
        from faster_whisper import WhisperModel

        kind, _, index = self.device.partition(":")
        exact = "float16" if kind == "cuda" else "int8"
        return WhisperModel(
            str(folder), device=kind, device_index=int(index or 0), compute_type=exact
        )

    def _demucs(self, folder: Path) -> Any:
        from demucs.hf import load_safetensors_model

        return load_safetensors_model(next(folder.glob("*.safetensors"))).to(self.device).eval()

    def _transformer(self, kind: str, folder: Path) -> Any:
        import transformers

        return getattr(transformers, kind).from_pretrained(folder).to(self.device).eval()

    def _processor(self, kind: str, folder: Path) -> Any:
        import transformers

        return getattr(transformers, kind).from_pretrained(folder)

    def _clip(self, name: str, folder: Path) -> tuple[Any, Any, Any]:
        import open_clip

        model, _, prepare = open_clip.create_model_and_transforms(
            f"{name.removeprefix('clip-')}-quickgelu",
            pretrained=str(folder / "open_clip_model.safetensors"),
        )
        tokenizer = open_clip.get_tokenizer(f"{name.removeprefix('clip-')}-quickgelu")
        words = [term.prompt for term in load_vocabulary().objects.terms]
        model = model.to(self.device).eval()
        with torch.inference_mode():
            vectors = model.encode_text(tokenizer(words).to(self.device))
        return model, prepare, vectors / vectors.norm(dim=-1, keepdim=True)

    def _yolo(self, root: Path, name: str, folder: Path) -> Any:
        from reelscope.engines.yolo_world import quiet_import

        with quiet_import(root):
            from ultralytics import YOLOWorld
        source = REGISTRY[name].source
        assert isinstance(source, UrlFile)
        yolo = YOLOWorld(folder / source.name)
        model: Any = yolo.model
        model.txt_feats = self.clip_words[None].float().to(self.device)
        model.model[-1].nc = len(self.clip_words)
        model.names = {n: str(n) for n in range(len(self.clip_words))}
        return yolo

    # -------------------------------------------------------------------------- running

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start

    @torch.inference_mode()
    def run(self, path: Path, *, captions: int) -> None:
        """One video after the other, one frame after the other."""
        with self.timed("decode"):
            frames = list(_frames(path))
        with self.timed("separate"):
            self._separate(path)
        with self.timed("transcribe"):
            segments, _ = self.whisper.transcribe(str(path), word_timestamps=True)
            list(segments)
        with self.timed("sounds"):
            self._sounds(path)
        for frame in frames:
            with self.timed("detect"):
                self.yolo.predict(frame, device=self.device, verbose=False)
            with self.timed("embed"):
                image = self.clip_prepare(Image.fromarray(frame[:, :, ::-1]))
                vector = self.clip.encode_image(image[None].to(self.device))
                (vector @ self.clip_words.T).cpu()
        for frame in frames[:captions]:
            with self.timed("caption"):
                image = Image.fromarray(frame[:, :, ::-1])
                given = self.blip_features(images=image, return_tensors="pt").to(self.device)
                self.blip.generate(**given, **self.writing)

    def _separate(self, path: Path) -> None:
        from demucs.apply import apply_model
        from faster_whisper.audio import decode_audio

        left, right = decode_audio(str(path), sampling_rate=44100, split_stereo=True)
        mix = torch.from_numpy(np.stack([left, right]))[None]
        apply_model(self.demucs, mix, device=self.device, split=True, overlap=0.25)

    def _sounds(self, path: Path) -> None:
        from faster_whisper.audio import decode_audio

        sound, asked = decode_audio(str(path), sampling_rate=16000), self.settings.sounds
        hop, window = (round(s * 16000) for s in (asked.hop_s, asked.window_s))
        for start in range(0, max(len(sound) - window, 0) + 1, hop):
            given = self.ast_features(
                sound[start : start + window], sampling_rate=16000, return_tensors="pt"
            )
            self.ast(**given.to(self.device)).logits.sigmoid().cpu()


def _frames(path: Path) -> Iterator[np.ndarray]:
    """One frame a second, BGR as OpenCV gives it; every frame is decoded."""
    video = cv2.VideoCapture(str(path))
    every = round(video.get(cv2.CAP_PROP_FPS)) or 30
    number = 0
    while True:
        there, frame = video.read()
        if not there:
            break
        if number % every == 0:
            yield frame
        number += 1
    video.release()
