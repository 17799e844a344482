"""Writes mel.csv, the table that `src/mel.rs` is tested against. Needs librosa (made with 0.11.0, numpy 2.4): python3 mel.py > mel.csv

Columns: scale, unit area, frame, band, power, decibels (floor 1e-10, range 60 dB).
"""

import librosa
import numpy as np

n = np.arange(1000, dtype=np.float64)
sound = 0.5 * np.sin(2 * np.pi * (300 + 1.2 * n) * n / 8000) + 0.2 * np.cos(2 * np.pi * 2500 * n / 8000)
sound = sound.astype(np.float32).astype(np.float64)  # 32-bit samples, 64-bit arithmetic

for scale in ["slaney", "htk"]:
    for area in [1, 0]:
        power = librosa.feature.melspectrogram(
            y=sound, sr=8000, n_fft=256, win_length=200, hop_length=80, window="hann", center=True, pad_mode="constant", power=2.0,
            n_mels=20, fmin=50.0, fmax=3800.0, htk=scale == "htk", norm="slaney" if area else None, dtype=np.float64,
        )
        level = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=60.0)
        for frame in range(0, power.shape[1], 3):
            for band in range(power.shape[0]):
                print(f"{scale},{area},{frame},{band},{power[band, frame]:.8e},{level[band, frame]:.5f}")
