"""PyTorch: a module of one's own and an explicit training loop.

yard data add digits
yard run examples/frameworks/pytorch_cnn.py --data digits
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import modelyard


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.relu(self.fc1(x)))


torch.manual_seed(0)
data = modelyard.dataset("digits")
train_loader, test_loader = data.torch(batch_size=64)
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
epochs = modelyard.params().get("epochs", 10)

for epoch in range(1, epochs + 1):
    model.train()
    total = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    modelyard.log_metrics({"loss": total / len(train_loader.dataset)}, step=epoch)
    modelyard.log_progress(epoch, epochs, f"epoch {epoch}")

model.eval()
with torch.no_grad():
    answers = torch.cat([model(x) for x, _ in test_loader])
    true = torch.cat([y for _, y in test_loader])
accuracy = (answers.argmax(1) == true).float().mean().item()
print(f"accuracy {accuracy:.4f}")
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", F.softmax(answers, dim=1).numpy(), delimiter=",")
modelyard.log_artifact("predictions.csv")
example = next(iter(test_loader))[0]
modelyard.log_model(
    model, name="pytorch-cnn", task="image-classification", labels=data.class_names, example=example
)
