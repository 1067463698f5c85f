"""FastAPI, pydantic and scikit-learn, as their own tutorials put them together; MODEL names the model's file."""

import os
from typing import Annotated

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field

WIDTH = 64


class Features(BaseModel):
    """One payment's features."""

    values: Annotated[list[float], Field(min_length=WIDTH, max_length=WIDTH)]


class Score(BaseModel):
    """Its probability of fraud."""

    score: float


app = FastAPI()
model = joblib.load(os.environ["MODEL"])


@app.post("/score")
async def score(features: Features) -> Score:
    """Return the probability of fraud."""
    rows = np.array([features.values], dtype=np.float32)
    return Score(score=model.predict_proba(rows)[0, 1])
